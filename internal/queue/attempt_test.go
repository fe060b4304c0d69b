package queue

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestAttempt shows what becomes of an event after one attempt. It is not run
// in parallel, because it looks at metrics.
func TestAttempt(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	say := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}
	for name, c := range map[string]struct {
		backend http.HandlerFunc
		state   State
		text    string // last error
		reason  string // label of the failure
	}{
		"200": {status(200), Delivered, "", ""},
		"204": {status(204), Delivered, "", ""},
		"299": {status(299), Delivered, "", ""},
		"no content, but a length": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(204)
		}, Delivered, "", ""},
		"only a body":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, Delivered, "", ""},
		"only a flush": {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, Delivered, "", ""},
		"early hints": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(202)
			w.WriteHeader(500)
		}, Delivered, "", ""},
		"late, but whole": {func(w http.ResponseWriter, r *http.Request) { hang(w, r); w.WriteHeader(200) }, Delivered, "", ""},

		"nothing":          {func(http.ResponseWriter, *http.Request) {}, Pending, "there was no answer", "broken"},
		"only hints":       {status(103), Pending, "there was no answer", "broken"},
		"another protocol": {status(101), Pending, "101: Switching Protocols", "101"},
		"redirect":         {status(302), Pending, "302: Found", "302"},
		"unknown":          {status(599), Pending, "599", "599"},
		"impossible":       {status(7), Pending, "502: Bad Gateway", "502"},
		"gone":             {status(410), Dead, "410: Gone", "410"},
		"dead status":      {say(422, "no such account"), Dead, "422: no such account", "422"},
		"text":             {say(500, "could not connect to the database\n"), Pending, "500: could not connect to the database", "500"},
		"odd text":         {say(500, "a\r\n\tb\x00c\xff d\u202e \u00fc"), Pending, "500: a b c d \u00fc", "500"},
		"long text":        {say(500, strings.Repeat("\u00fc", 1000)), Pending, "500: " + strings.Repeat("\u00fc", 128), "500"},
		"text in pieces": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			for range 1000 {
				_, _ = io.WriteString(w, "abc ")
			}
		}, Pending, "503: " + strings.TrimSpace(strings.Repeat("abc ", 64)), "503"},
		"compressed text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "\x1f\x8babc")
		}, Pending, "500: Internal Server Error", "500"},

		"hangs":          {hang, Pending, "timeout after 30s", "timeout"},
		"proxy gives up": {func(w http.ResponseWriter, r *http.Request) { hang(w, r); w.WriteHeader(504) }, Pending, "timeout after 30s", "timeout"},
		"hangs in the body": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			hang(w, r)
			panic(http.ErrAbortHandler)
		}, Pending, "timeout after 30s", "timeout"},
		"error, then hangs": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(410)
			hang(w, r)
			panic(http.ErrAbortHandler)
		}, Dead, "410: Gone", "410"},

		"shorter than promised": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "four")
		}, Pending, "200: the answer broke off after 4 bytes", "broken"},
		"as long as promised": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "fives")
		}, Delivered, "", ""},
		"breaks off":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic(http.ErrAbortHandler) }, Pending, "200: the answer broke off after 0 bytes", "broken"},
		"breaks off at once":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Pending, "there was no answer", "broken"},
		"error and breaks off": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); panic(http.ErrAbortHandler) }, Pending, "500: Internal Server Error", "500"},
		"panics":               {func(http.ResponseWriter, *http.Request) { panic(errors.New("oh\nno")) }, Pending, "panic: oh no", "panic"},
		"panics with nil":      {func(http.ResponseWriter, *http.Request) { panic(nil) }, Pending, "panic: " + new(runtime.PanicNilError).Error(), "panic"},
		"panics after success": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic(fmt.Sprint("at ", 7)) }, Pending, "panic: at 7", "panic"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				counted := testutil.ToFloat64(metrics.failures.WithLabelValues(DefaultConsumer, reasonLabel(c.reason)))
				ended := map[State]float64{}
				for state, result := range map[State]Result{Delivered: ResultDelivered, Dead: ResultDead} {
					ended[state] = testutil.ToFloat64(metrics.events.WithLabelValues(string(result), DefaultConsumer, "messages"))
				}
				calls := 0
				tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					if calls++; calls > 1 {
						w.WriteHeader(200)
						return
					}
					c.backend(w, r)
				}, func(p *Policy) { p.DeadStatus = []int{422}; p.First, p.Max = time.Hour, time.Hour })
				tr.accept("a", 1)
				synctest.Wait()
				if calls == 1 && tr.only().InFlight {
					time.Sleep(30 * time.Second)
				}
				e := tr.only()
				if e.State != c.state || e.LastError != c.text || e.Attempts != 1 || e.InFlight {
					t.Errorf("%s, in flight %t, %d attempts, the last with %q; want %s, %q after 1", e.State, e.InFlight, e.Attempts, e.LastError, c.state, c.text)
				}
				if c.reason != "" {
					if n := testutil.ToFloat64(metrics.failures.WithLabelValues(DefaultConsumer, reasonLabel(c.reason))) - counted; n != 1 {
						t.Errorf("counted %v failures, want 1", n)
					}
				}
				for state, result := range map[State]Result{Delivered: ResultDelivered, Dead: ResultDead} {
					want := 0.0
					if state == c.state {
						want = 1
					}
					if n := testutil.ToFloat64(metrics.events.WithLabelValues(string(result), DefaultConsumer, "messages")) - ended[state]; n != want {
						t.Errorf("counted %v %s, want %v", n, result, want)
					}
				}
			})
		})
	}
}

// TestNoURL delivers nothing to a wrong place.
func TestNoURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(http.ResponseWriter, *http.Request) { t.Error("there was a request") },
			func(p *Policy) { p.For = 0 })
		r := record("a", 1)
		r.URL = "https://host/%zz?key=hidden"
		if _, err := tr.store.Accept(t.Context(), []Record{r}, Admission{}); err != nil {
			t.Fatal(err)
		}
		if e := tr.only(); e.State != Dead || e.LastError != errURL.Error() {
			t.Errorf("%s: %q", e.State, e.LastError)
		}
	})
}

// TestAnswerOffers shows what the http.ResponseWriter of an attempt can do.
func TestAnswerOffers(t *testing.T) {
	t.Parallel()
	c := http.NewResponseController(newAnswer(t.Context(), false))
	if err := c.Flush(); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Hijack(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("Hijack: %v", err)
	}
}
