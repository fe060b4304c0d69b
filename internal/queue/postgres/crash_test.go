package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestServerCrashes has the server crash again and again under two gateways. What was
// acknowledged is delivered, each conversation in order; what comes twice is what was
// under way.
func TestServerCrashes(t *testing.T) {
	t.Parallel()
	pgtest.Need(t, absent)
	own, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	o := newShared(t, 10*time.Second)
	o.DSN, o.unsafe = own.DSN, false
	gateways := []*Store{openShared(t, o), openShared(t, o)}
	ctx, end := context.WithTimeout(t.Context(), 2*time.Minute)
	defer end()
	const conversations, crashes = 8, 5
	crashed := make(chan struct{})
	d := &deliveries{t: t, last: make(map[string]int), sent: make(map[string]int)}
	var senders, workers sync.WaitGroup
	for c := range conversations {
		senders.Go(func() { d.send(ctx, gateways[c%2], fmt.Sprint(c), crashed) })
	}
	for _, s := range gateways {
		for range 4 {
			workers.Go(func() { d.deliver(ctx, s) })
		}
	}
	for range crashes {
		time.Sleep(300 * time.Millisecond)
		own.Crash()
		if err := own.Run(); err != nil {
			t.Fatal(err)
		}
	}
	close(crashed)
	senders.Wait()
	for !d.complete() && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if !d.complete() {
		t.Errorf("acknowledged up to %v, delivered up to %v", d.sent, d.last)
	}
	end()
	workers.Wait()
	t.Logf("acknowledged %v, %d came twice", d.sent, d.twice)
}

// deliveries is what was acknowledged and delivered.
type deliveries struct {
	t     *testing.T
	mu    sync.Mutex
	sent  map[string]int // the last number of a conversation
	last  map[string]int
	twice int
}

// send sends the events of a conversation, each again until it is acknowledged.
func (d *deliveries) send(ctx context.Context, s *Store, conversation string, until <-chan struct{}) {
	for n := 1; ctx.Err() == nil; n++ {
		for {
			_, err := s.Accept(ctx, []queue.Record{record(fmt.Sprint(conversation, " ", n), conversation)}, queue.Admission{Dedupe: time.Hour})
			if err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		d.mu.Lock()
		d.sent[conversation] = n
		d.mu.Unlock()
		select {
		case <-until:
			return
		default:
		}
	}
}

// deliver takes events until the context ends.
func (d *deliveries) deliver(ctx context.Context, s *Store) {
	for ctx.Err() == nil {
		events, valid, err := s.Lease(ctx, queue.DefaultConsumer, 4)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for _, e := range events {
			if valid.Err() != nil {
				break
			}
			d.take(e)
			for {
				err := s.Settle(ctx, e, queue.Outcome{State: queue.Delivered})
				if err == nil || ctx.Err() != nil || errors.Is(err, queue.ErrNotFound) {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// take takes an event: the next of its conversation, or the last one again.
func (d *deliveries) take(e *queue.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var c, n int
	if _, err := fmt.Sscan(e.Identity, &c, &n); err != nil {
		d.t.Error(err)
	}
	switch last := d.last[e.Conversation]; n {
	case last + 1:
		d.last[e.Conversation] = n
	case last:
		d.twice++
	default:
		d.t.Errorf("%s is delivered after number %d", e.Identity, last)
	}
}

func (d *deliveries) complete() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for conversation, n := range d.sent {
		if d.last[conversation] < n {
			return false
		}
	}
	return true
}
