//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// figures are what one turn of a server came to.
type figures struct {
	rate      float64 // deliveries a second
	events    float64 // events a second
	cpu       float64 // of the server, in microseconds a delivery
	loader    float64 // of the loader and the application, likewise
	p50, p99  float64 // milliseconds
	resident  float64 // MiB
	elsewhere float64 // part of the machine that other programs took
	refused   float64 // answers that are not 200
	lost      float64 // events that were acknowledged and then not found
}

// meter takes what a server uses at the beginning and the end of a measurement.
type meter struct {
	server  *server
	profile string // file for a profile of what is measured; "": none
	window  time.Duration
	marks   []mark
	err     error
	done    chan error // of the profile
}

type mark struct {
	at           time.Time
	usage        usage
	own, machine time.Duration
}

func (m *meter) mark() {
	u, err := m.server.usage()
	if err != nil {
		m.err = err
	}
	m.marks = append(m.marks, mark{time.Now(), u, own(), machine()})
	if m.profile == "" || !m.server.peer.isCaddy() {
		return
	}
	if m.done == nil {
		m.done = make(chan error, 1)
		what := fmt.Sprintf("profile?seconds=%d", max(1, int(m.window.Seconds())))
		go func() { m.done <- m.server.profile(what, m.profile) }()
	} else if err := <-m.done; err != nil {
		m.err = err
	}
}

// figures returns the figures for so many deliveries between the marks.
func (m *meter) figures(deliveries, events int) (f figures, err error) {
	if m.err != nil {
		return f, m.err
	}
	from, to := m.marks[0], m.marks[1]
	seconds, n := to.at.Sub(from.at).Seconds(), float64(deliveries)
	cpu, own := to.usage.cpu-from.usage.cpu, to.own-from.own
	f.rate, f.events = n/seconds, float64(events)/seconds
	f.cpu, f.loader = cpu.Seconds()*1e6/n, own.Seconds()*1e6/n
	f.resident = mebibytes(to.usage.resident)
	others := to.machine - from.machine - cpu - own
	f.elsewhere = max(0, others.Seconds()/seconds/float64(runtime.NumCPU()))
	return f, nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// interleave gives each column a turn in each round, and returns the figures by
// column and round.
func (b *bench) interleave(columns []string, turn func(column, round int) (figures, error)) ([][]figures, error) {
	all := make([][]figures, len(columns))
	for round := range b.rounds {
		fmt.Printf("round %d of %d, load %s\n", round+1, b.rounds, load())
		for i, name := range columns {
			unix.Sync() // what the last one has left is not this one's burden
			runtime.GC()
			f, err := turn(i, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if b.verbose {
				fmt.Printf("  %s: %s a second, %s µs, %.0f%% elsewhere\n", name, number(f.rate), number(f.cpu), 100*f.elsewhere)
			}
			all[i] = append(all[i], f)
		}
	}
	return all, nil
}

// comparison is servers that get the same deliveries.
type comparison struct {
	name, about string
	peers       []string
	conns       int
	events      int // a delivery
}

var comparisons = []comparison{
	{
		name: "accept", about: "deliveries of one event",
		peers: []string{"respond", "webhook", "queue", "deliver", "express-answer", "express-append", "express-fsync"},
		conns: 64, events: 1,
	},
	{
		name: "batch", about: "deliveries of 1000 events",
		peers: []string{"webhook", "queue", "express-answer", "express-append"},
		conns: 1, events: 1000,
	},
}

// compare measures the servers of a comparison and prints a table.
func (b *bench) compare(c comparison) (*table, error) {
	if b.peers != nil {
		c.peers = b.peers
	}
	if b.conns > 0 {
		c.conns = b.conns
	}
	if b.events > 0 {
		c.events = b.events
	}
	found, err := find(c.peers...)
	if err != nil {
		return nil, err
	}
	requests := newPool(b.samples, maxRequests, c.events)
	fmt.Printf("\n%s: %s, about %d bytes, %d connections\n", c.name, c.about, len(requests.text)/requests.len()-requests.bodies[0], c.conns)
	for _, p := range found {
		fmt.Printf("  %-15s %s\n", p.name, p.about)
	}
	all, err := b.interleave(c.peers, func(i, _ int) (figures, error) { return b.turn(found[i], c, requests) })
	if err != nil {
		return nil, err
	}
	t := &table{columns: c.peers, figures: all}
	t.print()
	return t, nil
}

// turn measures one server once.
func (b *bench) turn(p peer, c comparison, requests *pool) (f figures, err error) {
	s, behind, done, err := b.stage(p)
	if err != nil {
		return f, err
	}
	defer done()
	m := b.meter(s)
	l := loader{
		address: s.address, tls: b.tls, conns: c.conns, pool: requests,
		warmup: b.warmup, window: b.window, again: !p.queue, mark: m.mark,
	}
	o, err := l.run()
	if err != nil {
		return f, fmt.Errorf("%w; the server wrote:\n%s", err, s.written())
	}
	if f, err = m.figures(len(o.latencies), len(o.latencies)*c.events); err != nil {
		return f, err
	}
	f.p50, f.p99 = milliseconds(o.quantile(0.5)), milliseconds(o.quantile(0.99))
	f.refused = float64(o.refused)
	if p.queue {
		f.lost, err = s.lost(requests, o, behind)
	}
	return f, err
}

func (b *bench) meter(s *server) *meter {
	m := &meter{server: s, window: b.window}
	if b.profile != "" {
		m.profile = filepath.Join(b.profile, s.peer.name+".pprof")
	}
	return m
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// stage starts a server in a directory of its own and with an application of its
// own. done ends and removes all of it.
func (b *bench) stage(p peer) (s *server, behind *backend, done func(), err error) {
	dir, err := os.MkdirTemp(b.dir, p.name+"-")
	if err != nil {
		return nil, nil, nil, err
	}
	if behind, err = newBackend(); err != nil {
		return nil, nil, nil, err
	}
	if p.held {
		behind.hold()
	}
	remove := func() {
		behind.close()
		_ = os.RemoveAll(dir) // it is below a directory that is removed in the end
	}
	if s, err = b.start(p, dir, behind); err != nil {
		remove()
		return nil, nil, nil, err
	}
	return s, behind, func() { s.kill(); remove() }, nil
}

// lost returns how many events were acknowledged, and are neither in the queue
// nor have come to the application.
func (s *server) lost(requests *pool, o *outcome, behind *backend) (float64, error) {
	var acknowledged []string
	for i, ok := range o.acknowledged {
		if ok {
			acknowledged = append(acknowledged, identities(requests.body(i))...)
		}
	}
	if !s.peer.held {
		select {
		case <-behind.expect(len(acknowledged)):
		case <-time.After(patience):
		}
		return float64(behind.missing(acknowledged)), nil
	}
	c, err := s.queue()
	return float64(max(0, len(acknowledged)-c.Pending-c.Dead-c.Delivered)), err
}
