package handler

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

func init() { caddy.RegisterModule(testRoute{}) }

// testRoute is a handler for error routes that does what routeFuncs says.
type testRoute struct {
	Does string `json:"does"`
}

func (testRoute) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_route", New: func() caddy.Module { return new(testRoute) }}
}

func (r testRoute) ServeHTTP(w http.ResponseWriter, req *http.Request, next caddyhttp.Handler) error {
	return routeFuncs[r.Does](w, req, next)
}

// page is what the error routes write.
const page = "sorry"

func write(status int) caddyhttp.MiddlewareHandler { return writes(status) }

type writes int

func (s writes) ServeHTTP(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
	w.Header().Set("X-Page", page)
	w.WriteHeader(int(s))
	_, _ = io.WriteString(w, page)
	return nil
}

// routeFuncs are the ways to write a status, most of which are a success.
var routeFuncs = map[string]func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error{
	"200": write(200).ServeHTTP, "201": write(201).ServeHTTP, "204": write(204).ServeHTTP, "205": write(205).ServeHTTP, "206": write(206).ServeHTTP,
	"299": write(299).ServeHTTP, "302": write(302).ServeHTTP, "304": write(304).ServeHTTP, "399": write(399).ServeHTTP, "101": write(101).ServeHTTP,
	"Write": func(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
		w.Header().Set("X-Page", page)
		_, err := io.WriteString(w, page)
		return err
	},
	"ReadFrom": func(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
		w.Header().Set("X-Page", page)
		_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader(page))
		return err
	},
	"Flush first": func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		return write(200).ServeHTTP(w, r, next)
	},
	"103, Flush": func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		w.WriteHeader(http.StatusEarlyHints)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		return write(200).ServeHTTP(w, r, next)
	},
	"redirect": func(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
		w.Header().Set("X-Page", page)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	},
	"304 with a length": func(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
		w.Header().Set("X-Page", page)
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusNotModified)
		return nil
	},
	"accept": func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		if d := event.FromContext(r.Context()); d != nil {
			d.Accept()
		}
		return write(200).ServeHTTP(w, r, next)
	},
	"hijack": func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		if conn, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
				conn.Close()
			}
			return fmt.Errorf("hijacked: %w", err)
		}
		return write(200).ServeHTTP(w, r, next)
	},
	"200, then fail": func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		return errors.Join(write(200).ServeHTTP(w, r, next), errors.New("failed as well"))
	},
	"fail with 200": func(http.ResponseWriter, *http.Request, caddyhttp.Handler) error {
		return caddyhttp.Error(http.StatusOK, errors.New("failed as well"))
	},
	"repeat the request": func(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
		w.Header().Set("X-Page", page)
		original, _ := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		_, err := fmt.Fprintln(w, r.RequestURI, r.URL, original.RequestURI, original.URL, r.Header)
		return err
	},
	// net/http takes nothing for 200.
	"nothing": func(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil },
	"only 103": func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		w.WriteHeader(103)
		return next.ServeHTTP(w, r)
	},
}

// listen serves f on a real connection, and what stands before next.
func (f *fixture) listen(t *testing.T, http2 bool, next caddyhttp.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, f.server), next); err != nil {
			t.Errorf("an error left the handler: %v", err)
		}
	}))
	if s.EnableHTTP2 = http2; http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// send sends a request to s.
func send(t *testing.T, s *httptest.Server, r *http.Request) (*http.Response, error) {
	t.Helper()
	sent := r.Clone(t.Context())
	sent.RequestURI = ""
	sent.URL.Scheme, _, _ = strings.Cut(s.URL, ":")
	sent.URL.Host = s.Listener.Addr().String()
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.Do(sent)
}

// failures are requests that are no success, and the status of each.
var failures = map[string]struct {
	request func() *http.Request
	next    caddyhttp.HandlerFunc
	status  int
}{
	"forged": {func() *http.Request {
		r := newDelivery(testBody)
		r.Header.Set(meta.HeaderSignature, sign("x", testBody))
		return r
	}, nil, 401},
	"unsigned": {func() *http.Request {
		r := newDelivery(testBody)
		r.Header.Del(meta.HeaderSignature)
		return r
	}, nil, 401},
	"method": {func() *http.Request {
		r := newDelivery(testBody)
		r.Method = http.MethodPut
		return r
	}, nil, 405},
	"verification": {func() *http.Request {
		return newVerification("hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong")
	}, nil, 403},
	"untaken": {func() *http.Request { return newDelivery(testBody) }, func(http.ResponseWriter, *http.Request) error { return nil }, 503},
	"only hints": {func() *http.Request { return newDelivery(testBody) }, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		return http.NewResponseController(w).Flush() // which would write 200
	}, 503},
	"failed":       {func() *http.Request { return newDelivery(testBody) }, returns(caddyhttp.Error(502, errors.New("nobody home"))), 502},
	"plain error":  {func() *http.Request { return newDelivery(testBody) }, returns(errors.New("no")), 500},
	"error of 200": {func() *http.Request { return newDelivery(testBody) }, returns(caddyhttp.Error(200, errors.New("no"))), 500},
	"error of 302": {func() *http.Request { return newDelivery(testBody) }, returns(caddyhttp.Error(302, errors.New("no"))), 500},
	"error of 0":   {func() *http.Request { return newDelivery(testBody) }, returns(caddyhttp.HandlerError{Err: errors.New("no")}), 500},
	"taken, but failed": {func() *http.Request { return newDelivery(testBody) }, func(_ http.ResponseWriter, r *http.Request) error {
		event.FromContext(r.Context()).Accept()
		return errors.New("no")
	}, 500},
}

func returns(err error) caddyhttp.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

// TestErrorRoutesMakeNoFailureASuccess has error routes write what they like
// about each kind of failure: header and body stay, and the status of the
// failure stands.
func TestErrorRoutesMakeNoFailureASuccess(t *testing.T) {
	t.Parallel()
	silent := map[string]bool{"fail with 200": true, "nothing": true, "only 103": true}
	noBody := map[string]bool{"304 with a length": true, "redirect": true}
	for does := range routeFuncs {
		for name, failure := range failures {
			t.Run(does+"/"+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.server.Errors = errorRoute(t, `{"handler":"test_route","does":"`+does+`"}`)
				resp, err := send(t, f.listen(t, false, failure.next), failure.request())
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != failure.status {
					t.Errorf("got %d, want %d", resp.StatusCode, failure.status)
				}
				if silent[does] {
					return
				}
				if resp.Header.Get("X-Page") != page || !noBody[does] && len(body) == 0 {
					t.Errorf("header or body did not stay: %v %q", resp.Header, body)
				}
				if location := resp.Header.Get("Location"); (location == "/login") != (does == "redirect") {
					t.Errorf("Location: %q", location)
				}
			})
		}
	}
}

// TestErrorRoutesMayFailOtherwise checks that a status of 400 and above is theirs
// to choose.
func TestErrorRoutesMayFailOtherwise(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 503, 599} {
		f := newFixture(t)
		f.server.Errors = errorRoute(t, fmt.Sprintf(`{"handler":"static_response","status_code":%d,"body":"%s"}`, status, page))
		if a := f.serveTo(t, newDelivery(testBody), returns(errors.New("no"))); a.Code != status || a.Body.String() != page {
			t.Errorf("got %d %q, want %d %q", a.Code, a.Body, status, page)
		}
	}
}

// TestFailureAfterSuccessWasWritten checks that a handler which fails after it
// wrote 200 does not leave a whole answer of 200.
func TestFailureAfterSuccessWasWritten(t *testing.T) {
	t.Parallel()
	for name, flush := range map[string]bool{"in the buffer": false, "on the wire": true} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/HTTP2=%t", name, http2), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.server.Errors = errorRoute(t, `{"handler":"static_response","status_code":200,"body":"sorry"}`)
				s := f.listen(t, http2, func(w http.ResponseWriter, _ *http.Request) error {
					_, _ = io.WriteString(w, "half of")
					if flush {
						if err := http.NewResponseController(w).Flush(); err != nil {
							t.Error(err)
						}
					}
					return errors.New("the other half is lost")
				})
				resp, err := send(t, s, newDelivery(testBody))
				if err == nil {
					defer resp.Body.Close()
					if !flush {
						t.Errorf("there was an answer of %d", resp.StatusCode)
					}
					var body []byte
					if body, err = io.ReadAll(resp.Body); err == nil {
						t.Errorf("there was a whole answer: %d %q", resp.StatusCode, body)
					}
				}
				s.Close() // the request has ended
				if got := f.names("the other half is lost"); len(got) != 1 || got[0] != "http.log.error error" {
					t.Errorf("the error went to %v", got)
				}
				if got := testutil.ToFloat64(f.metrics.responses.WithLabelValues("broken_off")); got != 1 {
					t.Errorf("counted %v answers that broke off, want 1", got)
				}
			})
		}
	}
}

// TestNobodyTakesTheConnectionOver checks that no answer goes past the recorder.
func TestNobodyTakesTheConnectionOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.listen(t, false, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v, want %v", err, http.ErrNotSupported)
		}
		return nil
	})
	resp, err := send(t, s, newDelivery(testBody))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("got %d, want 502", resp.StatusCode)
	}
}

// TestAccept2xxAnswers200 checks that Meta gets the one status that it takes for
// success, and that everything else stays what it is.
func TestAccept2xxAnswers200(t *testing.T) {
	t.Parallel()
	on := func(h *Handler) { h.Accept2xx = true }
	for _, tc := range []struct {
		status, want int
		body         string
	}{
		{200, 200, page}, {201, 200, page}, {202, 200, page}, {203, 200, page}, {204, 200, ""}, {205, 200, ""}, {206, 200, page}, {226, 200, page}, {299, 200, page},
		{300, 300, page}, {302, 302, page}, {304, 304, ""}, {400, 400, page}, {401, 401, page}, {404, 404, page}, {500, 500, page}, {503, 503, page},
	} {
		for _, way := range []string{"Write", "ReadFrom"} {
			t.Run(fmt.Sprintf("%d/%s", tc.status, way), func(t *testing.T) {
				t.Parallel()
				s := newFixture(t, on).listen(t, false, func(w http.ResponseWriter, r *http.Request) error {
					w.Header().Set("X-Page", page)
					if tc.body == "" {
						w.Header().Set("Content-Length", "5") // of what does not come
					}
					w.WriteHeader(tc.status)
					return routeFuncsWithoutError[way](w)
				})
				resp, err := send(t, s, newDelivery(testBody))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != tc.want || string(body) != tc.body || resp.Header.Get("X-Page") != page {
					t.Errorf("got %d %q %v, %v; want %d %q", resp.StatusCode, body, resp.Header, err, tc.want, tc.body)
				}
			})
		}
	}
	for name, adjust := range map[string]func(*Handler){"off": func(*Handler) {}, "on": on} {
		f := newFixture(t, adjust)
		want := map[string]int{"off": 204, "on": 200}[name]
		if a := f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(204); return nil }); a.Code != want {
			t.Errorf("%s: got %d, want %d", name, a.Code, want)
		}
		// What was refused is not accepted by an error route.
		f.server.Errors = errorRoute(t, `{"handler":"static_response","status_code":204}`)
		r := newDelivery(testBody)
		r.Header.Del(meta.HeaderSignature)
		if a := f.serve(t, r); a.Code != 401 {
			t.Errorf("%s: a forgery got %d, want 401", name, a.Code)
		}
	}
}

// routeFuncsWithoutError write the page, and do not care whether they may.
var routeFuncsWithoutError = map[string]func(http.ResponseWriter) error{
	"Write": func(w http.ResponseWriter) error { _, _ = io.WriteString(w, page); return nil },
	"ReadFrom": func(w http.ResponseWriter) error {
		_, _ = w.(io.ReaderFrom).ReadFrom(bufio.NewReader(strings.NewReader(page)))
		return nil
	},
}
