package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/internal/inprocess"
	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
)

// AlertReceiver is who is told when something needs attention: a service with a URL, or
// handlers of this Caddy. It gets a POST request for each alert.
type AlertReceiver struct {
	// URL is where alerts are sent. It may hold a secret, as those of Slack do: give it
	// as a placeholder such as `{env.SLACK_URL}`, which is resolved once, when the config
	// is loaded. Logs tell its host only.
	URL string `json:"url,omitempty"`

	// Format is how an alert is written: `json`, `slack` for an incoming webhook of
	// Slack, `teams` for a workflow of Microsoft Teams, or `ntfy` for a topic of ntfy.
	// Default: `json`.
	Format string `json:"format,omitempty"`

	// Only are the kinds of alerts to send, such as `refusing`. Who is told of an alert
	// is also told when it is over. Default: all.
	Only []string `json:"only,omitempty"`

	// Routes take the alerts instead of a URL, in this process: a POST request for `/`.
	// An alert that none of their handlers answers with a status of 2xx has failed.
	Routes caddyhttp.RouteList `json:"routes,omitempty"`
}

// ValidateOptions returns an error for an option whose value makes no sense. Options that
// are not set are valid.
func (r *AlertReceiver) ValidateOptions() error {
	if r.Format != "" {
		if err := option.OneOf("format", r.Format, alert.Formats...); err != nil {
			return err
		}
	}
	var names []string
	for _, kind := range alert.Kinds() {
		names = append(names, string(kind))
	}
	for _, name := range r.Only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("only %q is no kind of alert: there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// ParseAlertURL parses the URL of a receiver. Its errors do not repeat it.
func ParseAlertURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("alert needs a URL such as https://alerts.example.com/instagram")
	}
	return u, nil
}

// provision returns the receiver, ready to start.
func (r *AlertReceiver) provision(ctx caddy.Context) (*alert.Receiver, error) {
	if err := r.ValidateOptions(); err != nil {
		return nil, err
	}
	key, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	receiver := &alert.Receiver{Key: string(key), Logger: ctx.Logger()}
	for _, kind := range r.Only {
		receiver.Only = append(receiver.Only, alert.Kind(kind))
	}
	format := alert.Format(r.Format)
	if format == "" {
		format = alert.JSON
	}
	switch {
	case r.URL != "" && len(r.Routes) > 0:
		return nil, errors.New("alert has a URL, and handlers: it takes one of them")
	case len(r.Routes) > 0:
		if err := r.Routes.Provision(ctx); err != nil {
			return nil, fmt.Errorf("routes: %w", err)
		}
		receiver.Name = "handlers"
		receiver.Send = r.sendTo(format)
	default:
		text, err := placeholder.Resolve(r.URL)
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		target, err := ParseAlertURL(text)
		if err != nil {
			return nil, err
		}
		receiver.Name = target.Host
		receiver.Send = func(ctx context.Context, n *alert.Notice) error { return format.Post(ctx, alertClient, target, n) }
	}
	return receiver, nil
}

// alertClient sends alerts. It follows no redirect: what a POST leads to would be a GET.
var alertClient = &http.Client{
	Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     10 * time.Second,
		ForceAttemptHTTP2:   true,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// sendTo returns a function that hands notices to routes.
func (r *AlertReceiver) sendTo(format alert.Format) func(context.Context, *alert.Notice) error {
	routes := r.Routes.Compile(caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return errNoAlertHandler }))
	return func(ctx context.Context, n *alert.Notice) error {
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		request, err := format.Request(ctx, alertURL, n)
		if err != nil {
			return err
		}
		request.RemoteAddr, request.RequestURI = "127.0.0.1:0", "/"
		w := inprocess.NewStatusWriter()
		request = caddyhttp.PrepareRequest(request, caddy.NewReplacer(), w, new(caddyhttp.Server))
		if err := routes.ServeHTTP(w, request); err != nil {
			return fmt.Errorf("a handler failed: %w", alert.StatusError(httperror.Status(err), w.Header()))
		}
		return alert.StatusError(w.Status, w.Header())
	}
}

// alertURL is what requests to handlers are for.
var alertURL = &url.URL{Scheme: "http", Host: "localhost", Path: "/"}

var errNoAlertHandler = caddyhttp.Error(http.StatusNotFound, errors.New("no handler took the alert"))

// provisionAlerts prepares the receivers.
func (a *App) provisionAlerts(ctx caddy.Context) error {
	if err := metrics.Register(ctx.GetMetricsRegistry(), alert.Alerts, &cas); err != nil {
		return err
	}
	for i, configured := range a.Alerts {
		receiver, err := configured.provision(ctx)
		if err != nil {
			return fmt.Errorf("alert %d: %w", i+1, err)
		}
		a.receivers = append(a.receivers, receiver)
	}
	events, err := ctx.AppIfConfigured("events")
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return nil
	case err != nil:
		return err
	}
	if app := events.(*caddyevents.App); len(app.Subscriptions) > 0 {
		a.receivers = append(a.receivers, &alert.Receiver{
			Name: "events", Key: "events", Logger: ctx.Logger(),
			Send: func(sending context.Context, n *alert.Notice) error { return a.emit(sending, app, n) },
		})
	}
	return nil
}

// TellsOf reports whether the config has somebody to tell of a kind of alert.
func (a *App) TellsOf(kind alert.Kind) bool {
	return slices.ContainsFunc(a.receivers, func(r *alert.Receiver) bool { return r.Wants(&alert.Notice{Alert: alert.Alert{Kind: kind}}) })
}

// emit hands a notice to who has subscribed to Caddy's events. Apps start in any order, and
// events take subscriptions until they have started: it waits for the whole config.
func (a *App) emit(sending context.Context, events *caddyevents.App, n *alert.Notice) error {
	for !a.active() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-sending.Done():
			return sending.Err()
		}
	}
	data := map[string]any{
		"kind": string(n.Kind), "of": string(n.Of), "cause": n.Cause, "text": n.Text,
		"urgent": n.Urgent, "repeated": n.Repeated, "host": n.Host, "time": n.Time,
	}
	for name, value := range n.Data {
		if _, taken := data[name]; !taken {
			data[name] = value
		}
	}
	events.Emit(a.ctx, "instagram."+string(n.Kind), data)
	return nil
}

// active reports whether the config of the app is the one that runs.
func (a *App) active() bool {
	running, err := caddy.ActiveContext().AppIfConfigured("instagram")
	return err == nil && running == any(a)
}
