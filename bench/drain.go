//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// drainEvents is how many events are drained, in deliveries of batch.
const (
	drainEvents = 100_000
	batch       = meta.MaxUpdates
	workers     = 32 // that instagram_queue has by default
)

// The columns of drain.
const (
	directly = "reverse_proxy"
	drained  = "drain"
)

// drain measures how fast a backlog leaves the queue through reverse_proxy,
// against what reverse_proxy alone does with the very same requests when they
// come over as many connections.
func (b *bench) drain() (*table, error) {
	fmt.Printf("\ndrain: %d events that wait, to an application that answers at once\n", drainEvents)
	fmt.Printf("  %-15s Caddy: reverse_proxy, %d connections, the requests that the queue makes\n", directly, workers)
	fmt.Printf("  %-15s instagram_queue with reverse_proxy, %d workers\n", drained, workers)
	found, err := b.checkedTargets("proxy", "queue")
	if err != nil {
		return nil, err
	}
	deliveries := newPool(b.samples, drainEvents/batch, batch)
	var requests *pool // that reverse_proxy is sent
	if _, requests, err = b.drainQueue(found[1], deliveries, drainEvents); err != nil {
		return nil, err
	}
	return b.interleave("drain", []string{directly, drained}, func(i, _ int) (f figures, err error) {
		if i == 0 {
			return b.drive(found[0], requests)
		}
		f, _, err = b.drainQueue(found[1], deliveries, 0)
		return f, err
	})
}

// drive sends all requests to a proxy.
func (b *bench) drive(t target, requests *pool) (f figures, err error) {
	s, behind, done, err := b.stage(t)
	if err != nil {
		return f, err
	}
	defer done()
	m := b.meter(s)
	l := loader{address: s.address, tls: b.tls, load: load{pool: requests, conns: workers}, mark: m.mark}
	o, err := l.run()
	if err != nil {
		return f, err
	}
	if f, err = m.figures(len(o.latencies), len(o.latencies), 0); err != nil {
		return f, err
	}
	f.p50, f.p99 = milliseconds(o.quantile(0.5)), milliseconds(o.quantile(0.99))
	f.wrong, f.lost = float64(o.wrong), float64(requests.len()-behind.known())
	return f, nil
}

// drainQueue fills a queue while its application does not answer, and measures
// how the events leave it once it does. It returns the first few requests that
// the application gets.
func (b *bench) drainQueue(t target, deliveries *pool, capture int) (f figures, got *pool, err error) {
	s, behind, done, err := b.stage(t)
	if err != nil {
		return f, nil, err
	}
	defer done()
	behind.capture = capture
	acknowledged, err := b.fill(s, deliveries)
	if err != nil {
		return f, nil, err
	}
	m := b.meter(s)
	all := behind.expect(len(acknowledged))
	m.mark()
	behind.release()
	select {
	case <-all:
		m.mark()
	case <-time.After(10 * maxWait):
		return f, nil, fmt.Errorf("only %d of %d events came within %s", behind.known(), len(acknowledged), 10*maxWait)
	}
	f, err = m.figures(len(acknowledged), len(acknowledged), 0)
	f.lost = float64(behind.missing(acknowledged))
	return f, behind.requests, err
}

// fill sends all deliveries, each of which must be acknowledged, and returns the
// identities of their events.
func (b *bench) fill(s *server, deliveries *pool) (acknowledged []string, err error) {
	l := loader{address: s.address, tls: b.tls, load: load{pool: deliveries, conns: 2}, mark: func() {}}
	o, err := l.run()
	if err != nil {
		return nil, err
	}
	if o.wrong > 0 {
		return nil, errors.New("a delivery was refused")
	}
	for i := range deliveries.len() {
		acknowledged = append(acknowledged, identities(deliveries.body(i))...)
	}
	return acknowledged, nil
}
