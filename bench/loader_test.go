//go:build linux

package main

import (
	"bytes"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-instagram/webhooks/event/sample"
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
	l := loader{address: b.address(), conns: 4, pool: requests, mark: func() { marks++ }}
	o, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	<-all
	if marks != 2 || len(o.latencies) != 100 || o.refused != 0 || b.known() != 300 {
		t.Errorf("%d marks, %d latencies, %d refused, %d events, want 2, 100, 0, 300", marks, len(o.latencies), o.refused, b.known())
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

func TestTable(t *testing.T) {
	t.Parallel()
	table := &table{columns: []string{"a", "b"}, figures: [][]figures{
		{{rate: 100, lost: 1}, {rate: 10}, {rate: 20}},
		{{rate: 50}, {rate: 20}, {rate: 10, lost: 2}},
	}}
	if got := table.ratio("b", "a", rate); got != (spread{0.5, 0.5, 2}) {
		t.Errorf("ratio %v, want 0.5 (0.5–2)", got)
	}
	if got := spreadOf([]float64{4, 1, 3, 2}); got != (spread{2.5, 1, 4}) {
		t.Errorf("spread %v, want 2.5 (1–4)", got)
	}
	if got := table.lost(); got != 3 {
		t.Errorf("%v lost, want 3", got)
	}
	for n, want := range map[float64]string{0: "0", 0.123: "0.12", 12.34: "12.3", 123.4: "123", 54321.9: "54322", 25: "25"} {
		if got := number(n); got != want {
			t.Errorf("%v is written %s, want %s", n, got, want)
		}
	}
}

// Bars that are missed must fail the command.
func TestBars(t *testing.T) {
	t.Parallel()
	for _, b := range []struct {
		bar  bar
		want bool
	}{
		{bar{got: one(0.8), want: 0.8}, true},
		{bar{got: one(0.79), want: 0.8}, false},
		{bar{got: one(25), most: true, want: 25}, true},
		{bar{got: one(26), most: true, want: 25}, false},
	} {
		if b.bar.holds() != b.want {
			t.Errorf("%v, want %t", b.bar, b.want)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	u, err := usageOf(syscall.Getpgrp())
	if err != nil {
		t.Fatal(err)
	}
	if u.resident <= 0 || u.resident < u.anonymous+u.mapped {
		t.Errorf("the group of this process uses %+v", u)
	}
	if _, err := usageOf(-5); err == nil {
		t.Error("a group that cannot be uses something")
	}
}
