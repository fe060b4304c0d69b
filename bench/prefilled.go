//go:build linux

package main

import (
	"fmt"
	"os"
	"time"
)

// prefilled is the directory of a queue with so many events that it is filled once
// for all rounds, and what the queue must hold by now.
type prefilled struct {
	dir  string
	held int
}

// isPrefilled reports whether filling the target's queue takes minutes.
func (t target) isPrefilled() bool { return max(t.waiting, t.known) >= manyEvents }

// stagePrefilled starts a target on its filled queue, which it fills in the first
// round. done stops it.
func (b *bench) stagePrefilled(t target) (s *server, behind *backend, done func(), err error) {
	p := b.prefilled[t.name]
	if p == nil {
		if p, err = b.prefill(t); err != nil {
			return nil, nil, nil, fmt.Errorf("filling the queue: %w", err)
		}
	}
	if behind, err = newBackend(); err != nil {
		return nil, nil, nil, err
	}
	behind.hold()
	if s, err = b.start(t, p.dir, behind); err != nil {
		behind.close()
		return nil, nil, nil, err
	}
	return s, behind, func() { s.stop(); behind.close() }, nil
}

// prefill fills a queue. What is to be known is delivered to respond, which is the
// fastest way.
func (b *bench) prefill(t target) (*prefilled, error) {
	dir, err := os.MkdirTemp(b.dir, t.name+"-")
	if err != nil {
		return nil, err
	}
	p := &prefilled{dir, t.waiting + t.known}
	b.prefilled[t.name] = p
	filler := []target{t}
	if t.known > 0 {
		if filler, err = find("discard"); err != nil {
			return nil, err
		}
	}
	behind, err := newBackend()
	if err != nil {
		return nil, err
	}
	defer behind.close()
	behind.hold()
	start := time.Now()
	s, err := b.start(filler[0], dir, behind)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := b.fillWith(s, p.held); err != nil {
		return nil, err
	}
	for {
		c, err := s.queue()
		if err == nil && c.sum() != p.held {
			err = fmt.Errorf("the queue holds %d events, not %d", c.sum(), p.held)
		}
		if err != nil || t.waiting > 0 || c.Pending == 0 {
			fmt.Printf("  %s: filled in %.0f s\n", t.name, time.Since(start).Seconds())
			return p, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// removePrefilled removes the filled queues.
func (b *bench) removePrefilled() {
	for name, p := range b.prefilled {
		_ = os.RemoveAll(p.dir) // it is below a directory that is removed in the end
		delete(b.prefilled, name)
	}
}
