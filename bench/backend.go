//go:build linux

package main

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// backend is the application behind a server. It knows as little of HTTP as it
// can, and keeps the identities of the events that it was sent.
type backend struct {
	listener net.Listener

	mu       sync.Mutex
	held     chan struct{}  // requests are answered once it is closed; nil: at once
	first    time.Time      // when a request came, after expect
	got      map[string]int // identity → how often it was answered with 200
	wanted   int
	reached  chan time.Time // is told when as many identities are known as are wanted
	capture  int            // how many requests to keep
	requests *pool
}

func newBackend() (*backend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &backend{listener: listener, got: make(map[string]int), requests: new(pool)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	return b, nil
}

func (b *backend) address() string { return b.listener.Addr().String() }

func (b *backend) close() {
	b.release()
	_ = b.listener.Close() // nothing is lost with it
}

// hold lets requests wait for their answer until release.
func (b *backend) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = make(chan struct{})
	}
}

func (b *backend) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held != nil {
		close(b.held)
		b.held = nil
	}
}

// expect returns a channel that is told the time when n identities are known.
func (b *backend) expect(n int) <-chan time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	reached := make(chan time.Time, 1)
	b.wanted, b.reached = n, reached
	b.tell() // which forgets the channel once it has used it
	return reached
}

func (b *backend) tell() {
	if b.reached != nil && len(b.got) >= b.wanted {
		b.reached <- time.Now()
		b.reached = nil
	}
}

// forget makes the next request the first.
func (b *backend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.first = time.Time{}
}

func (b *backend) firstRequest() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first
}

func (b *backend) known() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

// missing returns how many of the identities it has not answered.
func (b *backend) missing(ids []string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if b.got[id] == 0 {
			n++
		}
	}
	return n
}

var answerOK = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

func (b *backend) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	var head, body []byte
	for {
		var err error
		if head, body, err = readRequest(in, head[:0], body[:0]); err != nil {
			return
		}
		b.mu.Lock()
		held := b.held
		if b.first.IsZero() {
			b.first = time.Now()
		}
		b.mu.Unlock()
		if held != nil {
			<-held
		}
		b.note(head, body)
		if _, err := conn.Write(answerOK); err != nil {
			return
		}
	}
}

func (b *backend) note(head, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id, ok := headerValue(head, "idempotency-key"); ok {
		b.got[string(id)]++
	} else {
		for _, id := range identities(body) {
			b.got[id]++
		}
	}
	if b.requests.len() < b.capture {
		b.requests.add(withoutProxy(head), body)
	}
	b.tell()
}

// readRequest appends the head of a request and its body.
func readRequest(in *bufio.Reader, head, body []byte) ([]byte, []byte, error) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return head, body, err
		}
		head = append(head, line...)
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	value, _ := headerValue(head, "content-length")
	rest, _ := strconv.Atoi(string(value)) // without one there is no body
	for rest > 0 {
		chunk, err := in.Peek(min(rest, in.Size()))
		if err != nil {
			return head, body, err
		}
		body = append(body, chunk...)
		rest -= len(chunk)
		_, _ = in.Discard(len(chunk)) // was peeked at
	}
	return head, body, nil
}

// withoutProxy returns the head of a request as it was before it went through a
// proxy.
func withoutProxy(head []byte) (plain []byte) {
	for line := range bytes.Lines(head) {
		switch name, _, _ := strings.Cut(strings.ToLower(string(line)), ":"); name {
		case "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto":
		default:
			plain = append(plain, line...)
		}
	}
	return plain
}
