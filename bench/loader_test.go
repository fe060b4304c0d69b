//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// The loader and the backend speak with each other, so each is the other's test.
func TestLedger(t *testing.T) {
	t.Parallel()
	b, err := newBackend()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	b.capture = 10
	requests := newPool(sample.New(1), 100, 3)
	all := b.expect(300)
	marks := 0
	l := loader{address: b.address(), load: load{pool: requests, conns: 4}, mark: func() { marks++ }}
	o, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	<-all
	<-b.expect(300) // which are known already
	if marks != 2 || len(o.latencies) != 100 || o.wrong != 0 || b.known() != 300 {
		t.Errorf("%d marks, %d latencies, %d wrong, %d events, want 2, 100, 0, 300", marks, len(o.latencies), o.wrong, b.known())
	}
	for i, ok := range o.acknowledged {
		if n := b.missing(identities(requests.body(i))); !ok || n != 0 {
			t.Errorf("delivery %d: acknowledged %t, %d events missing", i, ok, n)
		}
	}
	if n := b.missing(identities(newPool(sample.New(2), 1, 3).body(0))); n != 3 {
		t.Errorf("of 3 events that were not sent %d are missing", n)
	}
	if kept := b.requests.request(0); b.requests.len() != 10 || !bytes.Contains(requests.text, kept) {
		t.Errorf("%d requests were kept, want 10; the first is %q", b.requests.len(), kept)
	}
}

// serveAnswer answers each request on one connection with the same bytes.
func serveAnswer(t *testing.T, answer string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for buf := make([]byte, 64<<10); ; {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			if _, err := conn.Write([]byte(answer)); err != nil {
				return
			}
		}
	}()
	return listener.Addr().String()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 20_000)
	for answer, want := range map[string]uint16{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                        200,
		"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno":     503,
		"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + long:             200,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":      0,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                        0,
		"HTTP/1.1 200 OK\r\nX: " + long + "\r\nContent-Length: 0\r\n\r\n":     0,
		"HTTP/1.1 200 OK\r\nX-Content-Length: 5\r\nContent-Length: 0\r\n\r\n": 200,
	} {
		c, err := dial(serveAnswer(t, answer), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			status, err := c.do([]byte("GET / HTTP/1.1\r\n\r\n"))
			if status != want || (err == nil) != (want != 0) {
				t.Errorf("%.60q: %d, %v, want %d", answer, status, err, want)
				break
			}
			if err != nil {
				break
			}
		}
		c.Close()
	}
}

// receiver is a server that checks signatures, or takes everything.
func receiver(t *testing.T, checks bool) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // half a body has no right signature
		_, signature := simulate.Signatures(secret, body)
		if checks && r.Header.Get("X-Hub-Signature-256") != signature {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A background load is counted and not measured. Forgeries must be refused,
// and a forger comes again when his connection is closed.
func TestBackground(t *testing.T) {
	t.Parallel()
	deliveries, forgeries := newPool(sample.New(1), 50, 1), newSignedPool(sample.New(2), 10, 1, wrongSecret)
	for _, checks := range []bool{true, false} {
		var o *outcome
		for window := 100 * time.Millisecond; o == nil || len(o.latencies) < 50 || o.beside < 20; window *= 2 {
			if window > time.Minute {
				t.Fatalf("in half a minute only %d deliveries and %d forgeries were sent", len(o.latencies), o.beside)
			}
			l := loader{
				address: receiver(t, checks), mark: func() {}, window: window,
				load:       load{pool: deliveries, conns: 2, again: true},
				background: &load{pool: forgeries, conns: 8, again: true, forged: true},
			}
			var err error
			if o, err = l.run(); err != nil && !errors.Is(err, errNothing) {
				t.Fatal(err)
			}
		}
		if checks != (o.wrong == 0) || !checks && o.wrong < o.beside {
			t.Errorf("signatures checked: %t; %d deliveries, %d forgeries, %d wrong answers", checks, len(o.latencies), o.beside, o.wrong)
		}
	}
}

// At a rate, requests are not sent before they are due, and their latencies count from
// then, however long they had to wait for a connection.
func TestRate(t *testing.T) {
	t.Parallel()
	address := receiver(t, true)
	for _, rate := range []float64{500, 1e9} {
		const n = 50
		l := loader{address: address, load: load{pool: newPool(sample.New(1), n, 1), conns: 1, rate: rate}, mark: func() {}}
		begin := time.Now()
		o, err := l.run()
		took := time.Since(begin)
		if err != nil || len(o.latencies) != n || o.wrong != 0 {
			t.Fatalf("%v, %d latencies, %d wrong", err, len(o.latencies), o.wrong)
		}
		if least := time.Duration((n - 1) / rate * float64(time.Second)); took < least {
			t.Errorf("%d requests at %g a second were sent in %s", n, rate, took)
		}
		if rate < 1e9 {
			continue
		}
		// All were due at once, so each had to wait for all before it.
		var sum time.Duration
		for _, latency := range o.latencies {
			sum += latency
		}
		if sum <= took {
			t.Errorf("%d latencies come to %s, and all took %s over one connection", n, sum, took)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	address, careless := receiver(t, true), receiver(t, false)
	for _, a := range attempts(sample.New(1)) {
		if err := a.try(address, nil); err != nil {
			t.Error(err)
		}
		if err := a.try(careless, nil); (err == nil) != a.right {
			t.Errorf("%s, to a server that checks nothing: %v", a.what, err)
		}
	}
}

func TestComparisons(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, p := range targets {
		if names[p.name] {
			t.Errorf("two targets are called %s", p.name)
		}
		names[p.name] = true
	}
	for _, c := range comparisons {
		found, err := find(c.targets...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, p := range found {
			if c.kindOf(p).events == 0 || p.tls && !c.tls {
				t.Errorf("%s in %s: %+v", p.name, c.name, p)
			}
			if k := c.kindOf(p); c.rate > 0 {
				if few := newPool(sample.New(1), 100, k.events); len(few.text)/100*k.requests > maxText {
					t.Errorf("%s in %s: there is no room for as many deliveries as are due", p.name, c.name)
				}
			}
			if p.isPrefilled() && !c.special {
				t.Errorf("%s takes minutes, so that %s must be special", p.name, c.name)
			}
		}
	}
	for _, name := range queueComparisons {
		if name != "drain" && name != "backlog" && !slices.Contains(usual(), name) {
			t.Errorf("%s is not among the usual comparisons", name)
		}
	}
}

func TestWrittenTo(t *testing.T) {
	t.Parallel()
	requests := newPool(sample.New(1), 6, 3)
	var text []byte
	for i := range 4 { // deliveries, then events of theirs as CloudEvents
		if i < 2 {
			text = append(append(text, requests.body(i)...), '\n')
			continue
		}
		for _, e := range event.Split(requests.body(i)) {
			text = append(e.AppendCloudEvent(text), '\n')
		}
	}
	text = append(text, requests.body(4)...) // without its end
	name := filepath.Join(t.TempDir(), ledgerFile)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	written, err := writtenTo(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range requests.len() {
		for _, id := range identities(requests.body(i)) {
			if written[id] != (i < 4) {
				t.Errorf("event %s of delivery %d: written %t", id, i, written[id])
			}
		}
	}
}
