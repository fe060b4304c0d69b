package app_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// testEvents is a handler of Caddy's events that tells the test of each.
type testEvents struct{}

var emitted = make(chan string, 100)

func init() { caddy.RegisterModule(testEvents{}) }

func (testEvents) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.instagram_test", New: func() caddy.Module { return new(testEvents) }}
}

func (testEvents) Handle(ctx context.Context, e caddy.Event) error {
	repl := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	emitted <- repl.ReplaceAll("{event.name} {event.module} {event.data.cause} {event.data.store}", "")
	return nil
}

// load runs a config with these alerts.
func load(t *testing.T, alerts string) *app.App {
	t.Helper()
	config := fmt.Sprintf(`{"admin":{"disabled":true,"config":{"persist":false}},"apps":{"instagram":{"alerts":[%s]},
		"events":{"subscriptions":[{"events":["instagram.refusing","instagram.recovered"],"modules":["instagram"],"handlers":[{"handler":"instagram_test"}]}]}}}`, alerts)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	running, err := caddy.ActiveContext().AppIfConfigured("instagram")
	if err != nil {
		t.Fatal(err)
	}
	return running.(*app.App)
}

// within returns what a channel has to offer.
func within[T any](t *testing.T, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
	}
	return value
}

// TestAlertsOfARunningCaddy has a receiver for each format, handlers, and a subscription to
// events; one receiver fails at first; and the config is loaded again.
func TestAlertsOfARunningCaddy(t *testing.T) {
	store := rand.Text() // of which nothing was told before
	got := make(chan string, 100)
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/json" && tries.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		got <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Title") + string(body)
	}))
	t.Cleanup(server.Close)
	t.Setenv("ALERTS", server.URL)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	alerts := `{"url":"{env.ALERTS}/json"},{"url":"{env.ALERTS}/slack","format":"slack"},{"url":"{env.ALERTS}/teams","format":"teams"},
		{"url":"{env.ALERTS}/ntfy","format":"ntfy"},{"url":"{env.ALERTS}/other","only":["token"]},
		{"routes":[{"handle":[{"handler":"rewrite","uri":"/handlers"},{"handler":"reverse_proxy","upstreams":[{"dial":"` + strings.TrimPrefix(server.URL, "http://") + `"}]}]}]}`
	expect := func(kind, text string) {
		t.Helper()
		want := []string{"/json ", "/slack ", "/teams ", "/ntfy Instagram webhooks on ", "/handlers "}
		for range want {
			request := within(t, got)
			i := slices.IndexFunc(want, func(path string) bool { return strings.HasPrefix(request, "POST "+path) })
			if i < 0 {
				t.Fatalf("got %s", request)
			}
			if !strings.Contains(request, text) {
				t.Errorf("got %s, want %s", request, text)
			}
			if want[i] == "/json " && !strings.Contains(request, `"kind":"`+kind+`"`) {
				t.Errorf("got %s", request)
			}
			want = slices.Delete(want, i, i+1)
		}
		if e := within(t, emitted); e != "instagram."+kind+" instagram "+store+" "+store {
			t.Errorf("got the event %q", e)
		}
	}
	load(t, alerts)
	about := alert.Alert{Kind: alert.Refusing, Cause: store, Text: "The disk is full.", Data: map[string]any{"store": store}}
	alert.Shared.Raise(about)
	alert.Shared.Raise(about)
	expect("refusing", "The disk is full.")

	// A reload repeats nothing, and a config with another app that fails changes nothing.
	load(t, alerts+`,{"url":"{env.ALERTS}/new","only":["ca"]}`)
	alert.Shared.Raise(about)
	if err := caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}},"apps":{"instagram":{},"http":{"servers":{"x":{"listen":["192.0.2.1:1"]}}}}}`), true); err == nil {
		t.Error("the config was loaded")
	}
	alert.Shared.Raise(alert.Alert{Kind: alert.Recovered, Of: alert.Refusing, Cause: store, Text: "It is over.", Data: map[string]any{"store": store}})
	expect("recovered", "It is over.")
}

func TestAlertOptionsThatMakeNoSense(t *testing.T) {
	t.Setenv("EMPTY", "")
	t.Setenv("WORD", "s3cret")
	for config, want := range map[string]string{
		`{}`:                                        "alert 1: url: it is empty",
		`{"url":"{env.EMPTY}"}`:                     "{env.EMPTY} is empty",
		`{"url":"{env.WORD}"}`:                      "alert needs a URL such as https://",
		`{"url":"ftp://x/"}`:                        "alert needs a URL such as https://",
		`{"url":"http:///"}`:                        "alert needs a URL such as https://",
		`{"url":"http://x/","format":"x"}`:          `format "x" is none of json, slack, teams and ntfy`,
		`{"url":"http://x/","only":["x"]}`:          `only "x" is no kind of alert: there are answers, ca,`,
		`{"url":"http://x/","routes":[{}]}`:         "alert has a URL, and handlers",
		`{"routes":[{"handle":[{"handler":"x"}]}]}`: "routes: ",
	} {
		err := caddy.Validate(&caddy.Config{AppsRaw: caddy.ModuleMap{"instagram": json.RawMessage(`{"alerts":[` + config + `]}`)}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}

// TestCAThatEndsIsAlerted has three CAs, one of which is replaced.
func TestCAThatEndsIsAlerted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for days, want := range map[int]string{61: "", 59: "in 59 days false", 10: "in 10 days true", -1: " ended on true"} {
		ca := (*testpki.Cert)(nil).CA(t, "Meta Test")
		cert := *ca.Certificate
		cert.NotAfter = now.Add(time.Duration(days)*24*time.Hour + time.Hour)
		alerts := app.AboutCAs([]*x509.Certificate{&cert}, now)
		if (want != "") != (len(alerts) == 1) {
			t.Errorf("%d days: %d alerts", days, len(alerts))
		}
		for _, a := range alerts {
			text, urgent := want[:strings.LastIndex(want, " ")], want[strings.LastIndex(want, " ")+1:]
			if !strings.Contains(a.Text, text) || fmt.Sprint(a.Urgent) != urgent || !strings.Contains(a.Cause, "Meta Test until 20") {
				t.Errorf("%d days: %+v", days, a)
			}
		}
	}
}
