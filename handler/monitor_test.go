package handler

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

func answers200(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

func answersWith(status int) caddyhttp.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	}
}

func redirectsTo(status int, location string) caddyhttp.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
		return nil
	}
}

var refusedConnection = &net.OpError{
	Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9},
	Err: os.NewSyscallError("connect", syscall.ECONNREFUSED),
}

// details returns the details of the warnings since the last call.
func (f *fixture) details() (details []string) {
	for _, line := range f.logs.TakeAll() {
		if line.Message == "delivery failed" {
			details = append(details, line.ContextMap()["detail"].(string))
		}
	}
	return details
}

// TestAnswerThatMetaTakesForAFailureIsTold has the next handler answer in ways
// that it may take for success itself.
func TestAnswerThatMetaTakesForAFailureIsTold(t *testing.T) {
	t.Parallel()
	const end = "; Meta counts that as a failure"
	for _, tc := range []struct {
		name, label, detail string
		next                caddyhttp.HandlerFunc
	}{
		{"200", "200", "", answers200},
		{"201", "201", "the application answered 201" + end, answersWith(201)},
		{"204", "204", "the application answered 204" + end, answersWith(204)},
		{"401", "401", "the application answered 401" + end, answersWith(401)},
		{"419", "419", "the application answered 419" + end, answersWith(419)},
		{"500", "500", "the application answered 500" + end, answersWith(500)},
		{"no name", "other", "the application answered 777" + end, answersWith(777)},
		{"redirect", "302", "the application answered 302 to /login" + end, redirectsTo(302, "/login?next=/u/17841400000000001&token=abc#frag")},
		{"absolute", "301", "the application answered 301 to /webhooks" + end, redirectsTo(301, "https://user:password@hooks.example.com/webhooks?hub.verify_token=x")},
		{"long", "302", "the application answered 302 to /" + strings.Repeat("a", maxText-1) + "…" + end, redirectsTo(302, "/"+strings.Repeat("a", 1000))},
		{"escaped", "302", "the application answered 302 to /%1B%5B2J" + end, redirectsTo(302, "/%1B%5B2J")},
		{"ill-formed", "302", "the application answered 302" + end, redirectsTo(302, "http://[::1")},
		{"no Location", "302", "the application answered 302" + end, answersWith(302)},
		{"error", "502", "a handler after instagram_webhook failed, which was answered with 502" + end, returns(caddyhttp.Error(502, errors.New("no")))},
		{"unreachable", "502", "a handler after instagram_webhook failed (dial tcp 127.0.0.1:9: connect: connection refused), which was answered with 502" + end,
			returns(caddyhttp.Error(502, &url.Error{Op: "Post", URL: "http://127.0.0.1:9/?token=abc", Err: refusedConnection}))},
		{"hung up", "499", "Meta hung up after 0s, before there was an answer" + end, returns(caddyhttp.Error(499, errors.New("no")))},
		{"broken off", "broken_off", "the answer broke off" + end, func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		}},
		{"no answer", "broken_off", "the answer broke off" + end, func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }},
		// What follows is told by other lines.
		{"untaken", "503", "", func(http.ResponseWriter, *http.Request) error { return nil }},
		{"not stored", "503", "", returns(caddyhttp.Error(503, throttle.Error{Kind: "instagram_queue", Err: errors.New("no")}))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			func() {
				defer func() { _ = recover() }()
				f.serveTo(t, newDelivery(testBody), tc.next)
			}()
			if got := f.details(); tc.detail == "" && len(got) != 0 || tc.detail != "" && !slices.Equal(got, []string{tc.detail}) {
				t.Errorf("told %q, want %q", got, tc.detail)
			}
			if got := testutil.ToFloat64(f.metrics.responses.WithLabelValues(tc.label)); got != 1 {
				t.Errorf("counted %v of %s, want 1", got, tc.label)
			}
		})
	}
}

// TestForgeriesAreNoAnswers checks that only what Meta sent is counted and told:
// anyone can send forgeries.
func TestForgeriesAreNoAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		before := testutil.CollectAndCount(f.metrics.responses)
		for name, failure := range failures {
			if failure.next == nil {
				if a := f.serve(t, failure.request()); a.Code != failure.status {
					t.Errorf("%s: got %d", name, a.Code)
				}
			}
		}
		time.Sleep(time.Hour)
		if got := f.details(); len(got) != 0 {
			t.Errorf("told %q", got)
		}
		for _, label := range []string{"200", "401", "403", "405"} {
			if got := testutil.ToFloat64(f.metrics.responses.WithLabelValues(label)); got != 0 {
				t.Errorf("counted %v of %s", got, label)
			}
		}
		if got := testutil.CollectAndCount(f.metrics.responses); got != before {
			t.Errorf("there are %d series, %d before", got, before)
		}
	})
}

func TestFailedDeliveriesDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		flood := func(n, status int) {
			for range n {
				f.serveTo(t, newDelivery(testBody), answersWith(status))
			}
		}
		flood(200, 204)
		flood(5, 500)
		time.Sleep(time.Second)
		flood(1, 204)
		if err := f.Cleanup(); err != nil {
			t.Error(err)
		}
		var got []string
		for _, line := range f.logs.All() {
			got = append(got, fmt.Sprint(line.Message, " ", line.ContextMap()["status"], " ", line.ContextMap()["left_out"]))
		}
		want := []string{"delivery failed 204 0", "delivery failed 500 0", "delivery failed 204 199", "failed deliveries left out of the log 500 4"}
		if !slices.Equal(got, want) {
			t.Errorf("got the lines %q, want %q", got, want)
		}
	})
}

func TestSlowAnswerIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		takes := func(d time.Duration) caddyhttp.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) error {
				time.Sleep(d)
				w.WriteHeader(http.StatusOK)
				return nil
			}
		}
		f.serveTo(t, newDelivery(testBody), takes(meta.AnswerWithin))
		if got := f.details(); len(got) != 0 {
			t.Errorf("in time, but told %q", got)
		}
		f.serveTo(t, newDelivery(testBody), takes(7200*time.Millisecond))
		if got, want := f.details(), []string{"the answer took 7.2s, and Meta waits for 5s; Meta counts that as a failure"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestFailingApplicationIsToldBeforeMetaAlerts checks that nothing but failures
// is told of after 5 and 12 minutes, and that a success ends it.
func TestFailingApplicationIsToldBeforeMetaAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, line := range f.logs.TakeAll() {
				if line.Message != "delivery failed" && line.LoggerName == "" {
					got = append(got, fmt.Sprint(line.Level, " ", line.Message, " ", line.ContextMap()["for"], " ", line.ContextMap()["failed_for"], " ", line.ContextMap()["failed"], " ", line.ContextMap()["first_failure"]))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got the lines %q, want %q", got, want)
			}
		}
		const still = "error deliveries still fail: Meta alerts after 15 minutes and ends the subscription to messages after an hour "
		f.serveTo(t, newDelivery(testBody), redirectsTo(302, "/login"))
		time.Sleep(4 * time.Minute)
		f.serveTo(t, newDelivery(testBody), answersWith(204))
		expect()
		time.Sleep(time.Minute)
		expect(still + "5m0s <nil> 2 the application answered 302 to /login")
		time.Sleep(7 * time.Minute)
		expect(still + "12m0s <nil> 2 the application answered 302 to /login")
		time.Sleep(time.Minute)
		f.serveTo(t, newDelivery(testBody), answers200)
		expect("info deliveries are taken again <nil> 13m0s 2 <nil>")
		time.Sleep(time.Hour)
		f.serveTo(t, newDelivery(testBody), answers200)
		expect()

		// A failure among successes is no outage.
		for range 20 {
			f.serveTo(t, newDelivery(testBody), answersWith(500))
			time.Sleep(time.Minute)
			f.serveTo(t, newDelivery(testBody), answers200)
		}
		expect()

		// After the end of its config, nobody is told anything.
		f.serveTo(t, newDelivery(testBody), answersWith(500))
		if err := f.Cleanup(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		expect()
	})
}

// TestErrorsOfOurHandlersDoNotFloodTheLog checks that a full disk under many
// deliveries is no flood of lines, and that other handlers' errors are logged as
// Caddy logs them.
func TestErrorsOfOurHandlersDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	own := func(kind string) error {
		return caddyhttp.Error(503, throttle.Error{Kind: kind, Err: errors.New("the disk is full")})
	}
	nobody := func(http.ResponseWriter, *http.Request) error { return nil }
	broken := `{"handler":"test_route","does":"200, then fail"}`
	for _, tc := range []struct {
		name, routes string
		next         caddyhttp.HandlerFunc
		forged       bool
		want         []string
	}{
		{"queue", "", returns(own("instagram_queue")), false, []string{"the disk is full 0", "the disk is full 199", "errors left out of the log 2"}},
		{"error page", `{"handler":"static_response","body":"sorry"}`, returns(own("instagram_file")), false, []string{"the disk is full 0", "the disk is full 199", "errors left out of the log 2"}},
		{"untaken", "", nobody, false, []string{"no handler took the delivery 0", "no handler took the delivery 199", "errors left out of the log 2"}},
		{"forged, broken error page", broken, nil, true, []string{"error handling handler error 0", "error handling handler error 199", "errors left out of the log 2"}},
		{"another handler", "", returns(caddyhttp.Error(502, errors.New("nobody home"))), false, slices.Repeat([]string{"nobody home <nil>"}, 203)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var routes *caddyhttp.HTTPErrorConfig
			if tc.routes != "" {
				routes = errorRoute(t, tc.routes)
			}
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.server.Errors = routes
				flood := func(n int) {
					for range n {
						r := newDelivery(testBody)
						if tc.forged {
							r.Header.Set(meta.HeaderSignature, sign("x", testBody))
						}
						f.serveTo(t, r, tc.next)
					}
				}
				flood(200)
				time.Sleep(time.Second)
				flood(3)
				if err := f.Cleanup(); err != nil {
					t.Error(err)
				}
				var got []string
				for _, line := range f.logs.All() {
					message, _, _ := strings.Cut(line.Message, ":")
					if line.LoggerName == "http.log.error" && line.Level.String() != "debug" {
						got = append(got, fmt.Sprint(message, " ", line.ContextMap()["left_out"]))
					}
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("got %d lines, want %d: %q", len(got), len(tc.want), got[:min(len(got), 5)])
				}
			})
		})
	}
}

// TestCountersExistFromTheStart checks that the first increase of a counter can
// be seen: every series that is known is there at 0.
func TestCountersExistFromTheStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(h *Handler) {
		h.AppSecrets = append(h.AppSecrets, AppSecret{Name: "meta", Secret: "x" + testSecret})
	})
	registry := prometheus.NewRegistry()
	if err := f.metrics.register(registry); err != nil {
		t.Fatal(err)
	}
	zero := func(metric string, labels ...string) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				var got []string
				for _, label := range m.GetLabel() {
					got = append(got, label.GetName()+"="+label.GetValue())
				}
				if family.GetName() == metric && slices.Equal(got, labels) {
					if v := m.GetCounter().GetValue(); v != 0 {
						t.Errorf("%s %q is %v", metric, labels, v)
					}
					return
				}
			}
		}
		t.Errorf("there is no %s %q", metric, labels)
	}
	for _, secret := range []string{"instagram", "meta"} {
		zero("caddy_instagram_deliveries_total", "result=accepted", "secret="+secret)
		zero("caddy_instagram_deliveries_total", "result=untaken", "secret="+secret)
	}
	for _, a := range slicesOf(methodAttempts(), signatureAttempts(), bodyAttempts()) {
		zero("caddy_instagram_deliveries_total", "result="+a.reason.name, "secret=")
	}
	zero("caddy_instagram_verifications_total", "result=accepted")
	for _, a := range verificationAttempts() {
		zero("caddy_instagram_verifications_total", "result="+a.reason.name)
	}
	for _, why := range []reason{certNoTLS, certEarlyData, certNotRequested, certMissing, certUnknownIssuer, certExpired, certNotYetValid, certWrongName, certInvalid} {
		zero("caddy_instagram_deliveries_total", "result="+why.name, "secret=")
		zero("caddy_instagram_verifications_total", "result="+why.name)
	}
	for _, status := range []string{"200", "201", "202", "204", "301", "302", "401", "404", "500", "502", "503", "broken_off", "other"} {
		zero("caddy_instagram_answers_total", "status="+status)
	}
	zero("caddy_instagram_delivery_bytes_total")
}

// TestAnswersHaveBoundedLabels checks that an application cannot make any number
// of series.
func TestAnswersHaveBoundedLabels(t *testing.T) {
	t.Parallel()
	labels := make(map[string]bool)
	for status := range 1000 {
		labels[statusLabel(status)] = true
	}
	if len(labels) > 70 {
		t.Errorf("there are %d labels", len(labels))
	}
}

// TestErrorOfAStoreIsLoggedThoughAnErrorRouteAborts checks that the line of a store's error is
// written even if an error route closes the connection.
func TestErrorOfAStoreIsLoggedThoughAnErrorRouteAborts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Errors = errorRoute(t, `{"handler":"static_response","abort":true}`)
	func() {
		defer func() { _ = recover() }()
		r := newDelivery(testBody)
		w := httptest.NewRecorder()
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, f.server)
		_ = f.ServeHTTP(w, r, returns(caddyhttp.Error(503, throttle.Error{Kind: "instagram_file", Err: errors.New("the disk is full")})))
		t.Error("the error route did not abort")
	}()
	if got := f.names("the disk is full"); !slices.Equal(got, []string{"http.log.error error"}) {
		t.Errorf("got %v", got)
	}
}
