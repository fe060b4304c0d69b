package handler

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

func init() { caddy.RegisterModule(testStore{}) }

// testStore stores no delivery, as instagram_queue and instagram_file on a full
// disk.
type testStore struct{}

func (testStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_store", New: func() caddy.Module { return new(testStore) }}
}

func (testStore) ServeHTTP(_ http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	err := caddyhttp.Error(http.StatusServiceUnavailable,
		throttle.Error{Kind: "instagram_queue", Err: errors.New("the disk is full")})
	event.FromContext(r.Context()).Fail(err)
	return err
}

// catching returns a subroute with testStore in it, whose error route has the
// given handler, or none for "".
func catching(t *testing.T, handler string, next caddyhttp.HandlerFunc) caddyhttp.HandlerFunc {
	t.Helper()
	s := &caddyhttp.Subroute{Errors: &caddyhttp.HTTPErrorConfig{}}
	s.Routes = errorRoute(t, `{"handler":"test_store"}`).Routes
	if handler != "" {
		s.Errors = errorRoute(t, handler)
	}
	return func(w http.ResponseWriter, r *http.Request) error { return s.ServeHTTP(w, r, next) }
}

func nothing(http.ResponseWriter, *http.Request) error { return nil }

// TestErrorsOfASubrouteMakeNoFailureASuccess has the errors of a subroute write
// what they like about a delivery that could not be stored: Meta must send it
// again, and the operator must hear why.
func TestErrorsOfASubrouteMakeNoFailureASuccess(t *testing.T) {
	t.Parallel()
	type caught struct {
		handler string
		next    caddyhttp.HandlerFunc
	}
	cases := map[string]caught{
		"no route": {"", nothing},
		"accepted by the next": {"", func(w http.ResponseWriter, r *http.Request) error {
			event.FromContext(r.Context()).Accept()
			return answers200(w, r)
		}},
		"accepted without an answer": {"", func(_ http.ResponseWriter, r *http.Request) error {
			event.FromContext(r.Context()).Accept()
			return nil
		}},
		"another failure": {"", returns(caddyhttp.Error(http.StatusNotFound, errors.New("another")))},
		"static":          {`{"handler":"static_response","status_code":200}`, nothing},
	}
	for does := range routeFuncs {
		cases[does] = caught{`{"handler":"test_route","does":"` + does + `"}`, nothing}
	}
	for name, tc := range cases {
		for setup, adjust := range map[string]func(*Handler){"": func(*Handler) {}, ", accept_2xx": func(h *Handler) { h.Accept2xx = true }} {
			t.Run(name+setup, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, adjust)
				server := f.listen(t, false, catching(t, tc.handler, tc.next))
				resp, err := send(t, server, newDelivery(testBody))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("got %d %q, want 503", resp.StatusCode, body)
				}
				if name == "200" && (string(body) != page || resp.Header.Get("X-Page") != page) {
					t.Errorf("header or body did not stay: %v %q", resp.Header, body)
				}
				server.Close() // the request has ended
				if got := f.names("the disk is full"); !slices.Contains(got, "http.log.error error") {
					t.Errorf("the error went to %v", got)
				}
				if n := len(f.logs.FilterMessage("request refused").All()) + len(f.details()); n != 0 {
					t.Errorf("%d lines tell of another failure", n)
				}
				if got := testutil.ToFloat64(f.metrics.deliveries.WithLabelValues(unhandled.name, "instagram")); got != 0 {
					t.Errorf("counted %v that nobody took", got)
				}
				if got := testutil.ToFloat64(f.metrics.responses.WithLabelValues("503")); got != 1 {
					t.Errorf("counted %v answers of 503, want 1", got)
				}
			})
		}
	}
}

// TestErrorsOfASubrouteMayFailOtherwise checks that a status of 400 and above is
// theirs to choose, and that no error route of the server writes after them.
func TestErrorsOfASubrouteMayFailOtherwise(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Errors = errorRoute(t, `{"handler":"static_response","body":"twice"}`)
	a := f.serveTo(t, newDelivery(testBody), catching(t, `{"handler":"static_response","status_code":507,"body":"once"}`, nothing))
	if a.Code != 507 || a.Body.String() != "once" {
		t.Errorf("got %d %q, want 507", a.Code, a.Body)
	}
	if a := f.serveTo(t, newDelivery(testBody), catching(t, "", nothing)); a.Code != 503 || a.Body.String() != "twice" {
		t.Errorf("got %d %q, want 503 of the server's error route", a.Code, a.Body)
	}
}

// TestSuccessBeforeACaughtFailureBreaksOff checks that a success which was written
// before a store failed does not come whole.
func TestSuccessBeforeACaughtFailureBreaksOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	catch := catching(t, "", nothing)
	server := f.listen(t, false, func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.WriteString(w, page)
		return catch(w, r)
	})
	resp, err := send(t, server, newDelivery(testBody))
	if err == nil {
		defer resp.Body.Close()
		if _, err = io.ReadAll(resp.Body); err == nil {
			t.Errorf("there was a whole answer of %d", resp.StatusCode)
		}
	}
}
