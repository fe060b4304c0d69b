//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/caddy-instagram/webhooks/event/sample"
)

// kind is the kind of deliveries that a target is sent.
type kind struct {
	requests int // at most
	events   int // a delivery
	forged   bool
}

func (k kind) newPool(g *sample.Generator) *pool {
	key := secret
	if k.forged {
		key = wrongSecret
	}
	return newSignedPool(g, k.requests, k.events, key)
}

func (c comparison) kindOf(t target) kind {
	k := kind{maxRequests, c.events, t.forged}
	if t.events > 0 {
		k.events = t.events
	}
	if c.rate > 0 {
		k.requests = c.rate * int((c.warmup + c.window).Seconds())
	}
	return k
}

// compare measures the servers of a comparison and prints a table.
func (b *bench) compare(c comparison) (*table, error) {
	if c.tls {
		b = b.secured()
	}
	if b.targets != nil {
		c.targets = b.targets
	}
	if b.onlyCaddy {
		c.targets = slices.DeleteFunc(slices.Clone(c.targets), isOther)
	}
	if b.conns > 0 {
		c.conns = b.conns
	}
	if b.events > 0 {
		c.events = b.events
	}
	fmt.Printf("\n%s: %s, %d connections\n", c.name, c.about, c.conns)
	found, err := b.checkedTargets(c.targets...)
	if err != nil {
		return nil, err
	}
	pools := make(map[kind]*pool)
	need := func(k kind) *pool {
		if pools[k] == nil {
			pools[k] = k.newPool(b.samples)
		}
		return pools[k]
	}
	for _, t := range found {
		fmt.Printf("  %-21s %s; about %d bytes\n", t.name, t.about, need(c.kindOf(t)).size())
		if t.background == forging {
			need(kind{maxRequests, c.events, true})
		}
	}
	c.warmup, c.window = cmp.Or(c.warmup, b.warmup), cmp.Or(c.window, b.window)
	defer b.removePrefilled()
	return b.limited(c.rounds).interleave(c.name, c.targets, func(i, _ int) (figures, error) {
		t := found[i]
		if k := c.kindOf(t); t.isPrefilled() {
			pools[k] = k.newPool(b.samples) // it has had the last ones
		}
		return b.turn(t, c, pools)
	})
}

// limited returns the same bench with at most so many rounds, unless that is 0.
func (b *bench) limited(rounds int) *bench {
	over := *b
	if rounds > 0 {
		over.rounds = min(over.rounds, rounds)
	}
	return &over
}

// secured returns the same bench over TLS.
func (b *bench) secured() *bench {
	over := *b
	over.tls = b.certificates.client
	return &over
}

// turn measures one server once.
func (b *bench) turn(t target, c comparison, pools map[kind]*pool) (f figures, err error) {
	stage := b.stageFilled
	if t.isPrefilled() {
		stage = b.stagePrefilled
	}
	s, behind, done, err := stage(t)
	if err != nil {
		return f, err
	}
	defer done()
	before, p := t.waiting, b.prefilled[t.name]
	if p != nil {
		before = p.held
	}
	m, k := b.meter(s), c.kindOf(t)
	m.window = c.window
	l := loader{
		address: s.address, tls: b.tls, warmup: c.warmup, window: c.window, mark: m.mark,
		load: load{
			pool: pools[k], conns: c.conns, forged: t.forged,
			again: !t.hasLedger() && c.rate == 0, rate: float64(c.rate),
		},
	}
	if t.background != "" {
		others := kind{maxRequests, c.events, t.background == forging}
		l.background = &load{pool: pools[others], conns: backgroundConns, forged: others.forged, again: true}
	}
	o, err := l.run()
	if err != nil {
		return f, fmt.Errorf("%w; the server wrote:\n%s", err, s.written())
	}
	if f, err = m.figures(len(o.latencies), len(o.latencies)*k.events, o.beside); err != nil {
		return f, err
	}
	f.p50, f.p99 = milliseconds(o.quantile(0.5)), milliseconds(o.quantile(0.99))
	f.wrong = float64(o.wrong)
	if t.hasLedger() {
		f.lost, err = s.lost(pools[k], o, behind, before)
	}
	if p != nil {
		p.held += o.accepted() * k.events
	}
	return f, err
}

// stageFilled stages a server, and fills its queue.
func (b *bench) stageFilled(t target) (s *server, behind *backend, done func(), err error) {
	if s, behind, done, err = b.stage(t); err != nil {
		return nil, nil, nil, err
	}
	if err := b.fillWith(s, t.waiting); err != nil {
		done()
		return nil, nil, nil, err
	}
	return s, behind, done, nil
}

// fillWith puts so many events into the queue, in full deliveries.
func (b *bench) fillWith(s *server, events int) error {
	for events > 0 {
		n := min(events, drainEvents)
		if _, err := b.fill(s, newPool(b.samples, n/batch, batch)); err != nil {
			return err
		}
		events -= n
	}
	return nil
}

// stage starts a server in a directory of its own and with an application of its
// own. done ends and removes all of it.
func (b *bench) stage(t target) (s *server, behind *backend, done func(), err error) {
	dir, err := os.MkdirTemp(b.dir, t.name+"-")
	if err != nil {
		return nil, nil, nil, err
	}
	if behind, err = newBackend(); err != nil {
		return nil, nil, nil, err
	}
	if t.held {
		behind.hold()
	}
	remove := func() {
		behind.close()
		_ = os.RemoveAll(dir) // it is below a directory that is removed in the end
	}
	if s, err = b.start(t, dir, behind); err != nil {
		remove()
		return nil, nil, nil, err
	}
	return s, behind, func() { s.kill(); remove() }, nil
}
