//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loader sends the requests of a pool over connections that are kept alive. Each
// connection sends its next request when the last was answered.
type loader struct {
	address string
	tls     *tls.Config // nil: plain
	conns   int
	pool    *pool

	// Window is how long is measured, after warmup. At 0 the whole pool is sent
	// and measured.
	warmup, window time.Duration

	// Again has the pool sent from its beginning when it has come to its end.
	// That is for servers that do not look for duplicates.
	again bool

	// Mark is called at the beginning and at the end of what is measured.
	mark func()
}

// outcome is what came of it.
type outcome struct {
	acknowledged []bool          // by request of the pool: answered with 200, unless again
	refused      int             // answers with another status
	latencies    []time.Duration // of what was measured, sorted
}

// patience bounds the wait for one answer, and for the start of a server.
const patience = 60 * time.Second

// answered is an answer on its way into an outcome.
type answered struct {
	at, took time.Duration
	ok       bool
}

func (l *loader) run() (*outcome, error) {
	o := &outcome{acknowledged: make([]bool, l.pool.len())}
	clients := make([]*client, l.conns)
	for i := range clients {
		c, err := dial(l.address, l.tls)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		clients[i] = c
	}

	var next atomic.Int64
	var stop atomic.Bool
	var workers sync.WaitGroup
	all, failures := make([][]answered, l.conns), make([]error, l.conns)
	begin := time.Now()
	for n, c := range clients {
		workers.Go(func() {
			for !stop.Load() {
				i := int(next.Add(1)) - 1
				if i >= l.pool.len() {
					if !l.again {
						return
					}
					i %= l.pool.len()
				}
				sent := time.Now()
				status, err := c.do(l.pool.request(i))
				if err != nil {
					failures[n] = err
					return
				}
				now := time.Now()
				if !l.again {
					o.acknowledged[i] = status == http.StatusOK
				}
				all[n] = append(all[n], answered{now.Sub(begin), now.Sub(sent), status == http.StatusOK})
			}
		})
	}
	done := make(chan struct{})
	go func() { workers.Wait(); close(done) }()
	await := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-done:
		}
	}

	if l.window > 0 {
		await(l.warmup)
	}
	from := time.Since(begin)
	l.mark()
	if l.window > 0 {
		await(l.window)
	} else {
		<-done
	}
	to := time.Since(begin)
	l.mark()
	stop.Store(true)
	<-done

	for _, list := range all {
		for _, a := range list {
			if !a.ok {
				o.refused++
			}
			if from < a.at && a.at <= to {
				o.latencies = append(o.latencies, a.took)
			}
		}
	}
	slices.Sort(o.latencies)
	if len(o.latencies) == 0 {
		return o, errors.Join(append(failures, errors.New("nothing was answered in the time that is measured"))...)
	}
	return o, errors.Join(failures...)
}

// quantile returns a latency: the median for 0.5.
func (o *outcome) quantile(q float64) time.Duration {
	return o.latencies[min(len(o.latencies)-1, int(q*float64(len(o.latencies))))]
}

// client is a connection to a server. It knows just as much of HTTP as the
// servers need.
type client struct {
	net.Conn
	buf []byte
}

func dial(address string, config *tls.Config) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	c := &client{conn, make([]byte, 8<<10)}
	if config != nil {
		secured := tls.Client(conn, config)
		if err := secured.Handshake(); err != nil {
			_ = conn.Close() // the handshake's error says more
			return nil, err
		}
		c.Conn = secured
	}
	return c, c.SetDeadline(time.Now().Add(10 * patience))
}

// do sends a request and returns the status of its answer.
func (c *client) do(request []byte) (uint16, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	for n := 0; ; {
		more, err := c.Read(c.buf[n:])
		if err != nil {
			return 0, fmt.Errorf("no answer: %w", err)
		}
		n += more
		head := bytes.Index(c.buf[:n], []byte("\r\n\r\n"))
		switch {
		case head < 0 && n == len(c.buf):
			return 0, errors.New("the head of an answer is too long")
		case head < 0:
			continue
		}
		status, length, err := parse(c.buf[:head+2])
		if err != nil {
			return 0, err
		}
		for rest := head + 4 + length - n; rest > 0; {
			more, err := c.Read(c.buf[:min(rest, len(c.buf))])
			if err != nil {
				return 0, fmt.Errorf("half an answer: %w", err)
			}
			rest -= more
		}
		return status, nil
	}
}

// parse returns the status and the length of the body that the head of an answer
// tells.
func parse(head []byte) (status uint16, length int, err error) {
	if len(head) < len("HTTP/1.1 200") || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("no answer of HTTP/1.1: %q", head)
	}
	code, err := strconv.ParseUint(string(head[9:12]), 10, 16)
	if err != nil {
		return 0, 0, fmt.Errorf("status %q", head[9:12])
	}
	value, ok := headerValue(head, "content-length")
	if !ok {
		return 0, 0, fmt.Errorf("an answer does not tell its length: %q", head)
	}
	length, err = strconv.Atoi(string(value))
	return uint16(code), length, err
}

// headerValue returns the value of a header, whose name is in lower case.
func headerValue(head []byte, name string) ([]byte, bool) {
	for len(head) > 0 {
		line := head
		if end := bytes.Index(head, []byte("\r\n")); end >= 0 {
			line, head = head[:end], head[end+2:]
		} else {
			head = nil
		}
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name)+1:]), true
		}
	}
	return nil, false
}

func equalFold(text []byte, lower string) bool {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
