// Package signedrequest is the handler instagram_signed_request: it takes what Meta sends
// when an account removes an app, or asks for the deletion of its data.
package signedrequest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/forward"
	"github.com/caddy-instagram/webhooks/internal/inprocess"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler makes an authentic event of what Meta posts to the *deauthorize* or the *data
// deletion request* callback of an app: a form with a `signed_request`.
//
// The handlers that follow get the event like any other, in a delivery in Meta's form:
// files, queues and their consumers take it. Its field is `deauthorize` or `deletion`, its
// account the id of the user of the app, as the request names it: the business that logged
// in, not a person who wrote to it. The body is signed with the app secret that the request
// was signed with.
//
// Meta is answered once they have taken the event and a deauthorization is noted, if the
// account is looked after: 200, and for a deletion the address of a page that says how it
// stands, with a code that nobody can guess. If they fail, so does the answer. The same
// request again is the same event, with the same code.
//
// The page is served by this handler too: the path of StatusURL must lead to it. It says
// when a request came, and nothing about anybody. Nothing is stored for it: the code
// carries the time, and is signed with the app secret.
//
// What is not authentic is refused: 401 for a signature that matches no app secret and for
// a request older than a day, 400 for what is no such form, 405 for other methods.
type Handler struct {
	// Kind is what the URL was given to Meta for: `deauthorize` or `deletion`. The
	// requests look alike.
	Kind string `json:"kind,omitempty"`

	// AppSecrets are the keys that requests may be signed with: that of the app, for
	// Instagram Login the *Instagram app secret*. All are tried. At least one is needed.
	AppSecrets []appsecret.AppSecret `json:"app_secrets,omitempty"`

	// StatusURL is the page for people who have asked for a deletion, with `{code}` as
	// the last part of its path, such as `https://hooks.example.com/deletion/{code}`. A
	// handler for deletions needs it.
	StatusURL string `json:"status_url,omitempty"`

	secrets []*appsecret.Secret
	config  *app.App
	page    string // path of StatusURL before the code
	logger  *zap.Logger
	lines   throttle.Throttle[string]
}

// The kinds, which are the fields of the events.
const (
	Deauthorize = "deauthorize"
	Deletion    = "deletion"
)

// CodeMark stands in a StatusURL for the code.
const CodeMark = "{code}"

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_signed_request",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision resolves the secrets.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	h.logger = ctx.Logger()
	if err := h.ValidateOptions(); err != nil {
		return err
	}
	if h.Kind == "" {
		return errors.New("kind is missing: it is deauthorize or deletion")
	}
	if h.Kind == Deletion && h.StatusURL == "" {
		return errors.New("deletion needs a status_url such as https://hooks.example.com/deletion/{code}: Meta shows it to who asks for the deletion")
	}
	h.secrets, err = appsecret.Resolve(h.AppSecrets, func(name, _, value string) {
		if problem := secretcheck.Describe(value); problem != "" {
			h.logger.Warn("an app secret does not look like one of Meta's", zap.String("which", name), zap.String("problem", problem))
		}
	})
	if err != nil {
		return err
	}
	if h.config, err = app.OfServer(ctx); err != nil {
		return err
	}
	return metrics.Register(ctx.GetMetricsRegistry(), requests)
}

// ValidateOptions returns an error for an option whose value makes no sense. Options that
// are not set are valid.
func (h *Handler) ValidateOptions() error {
	if err := option.OneOf("kind", h.Kind, Deauthorize, Deletion); err != nil {
		return err
	}
	if h.StatusURL == "" {
		return nil
	}
	if h.Kind == Deauthorize {
		return errors.New("status_url is for deletion: nobody is shown a page for deauthorize")
	}
	before, after, found := strings.Cut(h.StatusURL, CodeMark)
	u, err := url.Parse(before)
	if !found || after != "" || err != nil || u.Scheme != "https" || u.Host == "" || !strings.HasSuffix(u.Path, "/") || strings.ContainsAny(before, "?#{}") {
		return fmt.Errorf("status_url %q must begin with https:// and end with /%s", h.StatusURL, CodeMark)
	}
	h.page = u.Path
	return nil
}

// ServeHTTP verifies a request, has the next handlers take the event, and answers Meta. It
// also serves the page.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if event.FromContext(r.Context()) != nil {
		return caddyhttp.Error(http.StatusInternalServerError, throttle.Error{Kind: "signed_request_misplaced", Err: errMisplaced})
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if code, ok := h.codeIn(r); ok {
			h.servePage(w, r, code)
			return nil
		}
	}
	request, secret, refused := h.verify(r)
	if refused != nil {
		return h.refuse(w, r, refused)
	}
	request.code = h.codeOf(secret, request)
	err := h.handOn(r, next, request, secret)
	if err == nil && h.Kind == Deauthorize {
		err = h.noteDeauthorization(r, request)
	}
	if err != nil {
		requests.WithLabelValues(h.Kind, "failed").Inc()
		return err
	}
	requests.WithLabelValues(h.Kind, "accepted").Inc()
	w.Header().Set("Cache-Control", "no-store")
	if h.Kind == Deauthorize {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]string{
		"url":               strings.Replace(h.StatusURL, CodeMark, request.code, 1),
		"confirmation_code": request.code,
	})
}

// noteDeauthorization returns an error if the request cannot be noted for the account: after
// an answer of 200 Meta would never tell of it again.
func (h *Handler) noteDeauthorization(r *http.Request, request *signedRequest) error {
	err := h.config.Deauthorized(r.Context(), string(request.UserID), time.Unix(request.IssuedAt, 0))
	if err != nil {
		err = caddyhttp.Error(http.StatusServiceUnavailable, fmt.Errorf("noting that an account removed the app: %w", err))
	}
	return err
}

// errMisplaced is why a delivery that instagram_webhook has passed on goes no further: it is
// no form, and must not be refused as a wrong one.
var errMisplaced = errors.New("instagram_signed_request got a delivery of instagram_webhook: give it a path of its own")

var errNotTaken = errors.New("no handler took the event: put instagram_queue, instagram_file, reverse_proxy, php_fastcgi or respond after instagram_signed_request")

// handOn has the next handlers take the event, and returns an error if they do not. Their
// answer is for this handler alone.
func (h *Handler) handOn(r *http.Request, next caddyhttp.Handler, request *signedRequest, secret *appsecret.Secret) error {
	body, err := request.event(h.Kind)
	if err != nil {
		return err
	}
	delivery := &event.Delivery{Body: body, Secret: secret.Name, Signer: secret}
	defer delivery.End()
	handOver(r, delivery)
	answer := inprocess.NewStatusWriter()
	err = next.ServeHTTP(answer, r)
	switch {
	case delivery.Failure() != nil: // it counts even if something caught it
		return delivery.Failure()
	case err != nil:
		return err
	case answer.Status/100 == 2, answer.Status == 0 && delivery.Accepted():
		return nil
	case answer.Status == 0:
		return caddyhttp.Error(http.StatusServiceUnavailable, errNotTaken)
	}
	status := answer.Status
	if status < http.StatusBadRequest { // a redirect
		status = http.StatusBadGateway
	}
	return caddyhttp.Error(status, fmt.Errorf("the application answered %d %s, so the event counts as not taken",
		answer.Status, http.StatusText(answer.Status)))
}

// handOver makes r what the next handlers see: a delivery as instagram_webhook passes it on.
func handOver(r *http.Request, d *event.Delivery) {
	forward.DropReservedHeaders(r)
	signature := d.Signer.Sign(d.Body)
	r.Header.Set(meta.HeaderSignature, "sha256="+hex.EncodeToString(signature[:]))
	r.Header.Del(meta.HeaderLegacySignature)
	r.Header.Del("Content-Encoding")
	r.Header.Set("Content-Type", "application/json")
	forward.Delivery(r, d, io.NopCloser(bytes.NewReader(d.Body)))
}

// refuse counts and logs why a request is refused. Nothing of it goes on.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, why *refusal) error {
	requests.WithLabelValues(h.Kind, why.reason).Inc()
	forward.SetBody(r, http.NoBody, 0)
	if why.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if leftOut, ok := h.lines.Admit(why.reason); ok {
		clientIP, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
		h.logger.Warn("signed request refused", zap.String("kind", h.Kind), zap.String("reason", why.reason), zap.Int("status", why.status),
			zap.String("detail", why.detail), zap.String("client_ip", clientIP), zap.Int("left_out", leftOut))
	}
	return caddyhttp.Error(why.status, caddyhttp.HandlerError{Err: errors.New(why.detail), StatusCode: why.status, Trace: why.reason})
}

// MarshalLogObject keeps secrets out of Caddy's handler trace.
func (h *Handler) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("kind", h.Kind)
	enc.AddString("status_url", h.StatusURL)
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ zapcore.ObjectMarshaler     = (*Handler)(nil)
)
