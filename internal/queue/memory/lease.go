package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Lease implements queue.Store.
func (s *Store) Lease(ctx context.Context, consumer string, limit int) ([]*queue.Event, context.Context, error) {
	for {
		if err := s.lock(ctx); err != nil {
			return nil, nil, err
		}
		c := s.consumer(consumer)
		if c == nil {
			s.mu.Unlock()
			return nil, nil, queue.ErrNoConsumer
		}
		var leased []*queue.Event
		var next time.Time
		if !c.paused {
			leased, next = s.lease(c, time.Now(), limit)
		}
		change := s.change
		s.mu.Unlock()
		if len(leased) > 0 {
			return leased, context.Background(), nil
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-change:
		case <-due:
		case <-ctx.Done():
		}
	}
}

// lease leases what is due for a consumer, and returns when something will be.
func (s *Store) lease(c *consumer, now time.Time, limit int) (leased []*queue.Event, next time.Time) {
	lanes := make(map[queue.Lane][]*event)
	for _, e := range s.heads(c) {
		switch {
		case !e.Due.After(now):
			lanes[e.Lane] = append(lanes[e.Lane], e)
		case next.IsZero() || e.Due.Before(next):
			next = e.Due
		}
	}
	busy := make(map[string]bool)
	for len(leased) < limit {
		e := c.takeTurn(lanes)
		if e == nil {
			break
		}
		if e.order != "" && busy[e.order] {
			continue // the head of the other lane was leased just now
		}
		busy[e.order] = true
		e.InFlight = true
		leased = append(leased, new(e.Event))
	}
	return leased, next
}

// heads returns the events that can be leased when they are due, the oldest first:
// the first of each sequence, but none while another is leased. Replayed events have a
// line of their own.
func (s *Store) heads(c *consumer) (heads []*event) {
	type line struct {
		order    string
		replayed bool
	}
	first := make(map[line]*event)
	busy := make(map[string]bool)
	for _, e := range s.events {
		switch {
		case e.Consumer == c.Name && e.InFlight:
			busy[e.order] = e.order != ""
		case e.Consumer != c.Name || e.State != queue.Pending:
		case e.order == "":
			heads = append(heads, e)
		default:
			l := line{e.order, e.Lane == queue.Replayed}
			if first[l] == nil || e.serial < first[l].serial {
				first[l] = e
			}
		}
	}
	for l, e := range first {
		if !busy[l.order] {
			heads = append(heads, e)
		}
	}
	slices.SortFunc(heads, func(a, b *event) int { return cmp.Compare(a.serial, b.serial) })
	return heads
}

// takeTurn takes the next event from the lanes, or returns nil.
func (c *consumer) takeTurn(lanes map[queue.Lane][]*event) *event {
	lane := queue.Replayed
	switch live, retried := len(lanes[queue.Live]) > 0, len(lanes[queue.Retried]) > 0; {
	case live && (!retried || c.turn%2 == 0):
		lane = queue.Live
	case retried:
		lane = queue.Retried
	}
	if len(lanes[lane]) == 0 {
		return nil
	}
	c.turn++
	e := lanes[lane][0]
	lanes[lane] = lanes[lane][1:]
	return e
}

// Settle implements queue.Store.
func (s *Store) Settle(ctx context.Context, leased *queue.Event, o queue.Outcome) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	e := s.find(leased.ID, leased.Consumer)
	if e == nil || !e.InFlight {
		return queue.ErrNotFound
	}
	e.InFlight = false
	defer s.changed()
	if o.Released {
		return nil
	}
	settled := time.Now()
	if !e.ErasedAt.IsZero() {
		if o = o.OfErased(); o.State == queue.Erased {
			settled = e.Settled
		}
	}
	if o.State != queue.Delivered || e.Attempts > 0 || e.Lane == queue.Replayed {
		e.history = append(e.history, o.Attempt)
		e.history = e.history[max(0, len(e.history)-queue.MaxHistory):]
	}
	e.Attempts++
	e.State, e.LastError = o.State, o.Error
	if o.State != queue.Pending {
		e.Lane, e.Due, e.Settled = "", time.Time{}, settled
		return nil
	}
	e.Due = o.Due
	if e.Tried.IsZero() {
		e.Tried = o.Ended
	}
	if e.Lane == queue.Live {
		e.Lane = queue.Retried
	}
	return nil
}

// Requeue implements queue.Store.
func (s *Store) Requeue(ctx context.Context, f queue.Filter, interval time.Duration) (n int, err error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	for _, e := range s.events {
		switch {
		case !selects(&f, e) || e.InFlight || !e.ErasedAt.IsZero():
		case e.State != queue.Pending:
			e.State, e.Lane, e.serial = queue.Pending, queue.Replayed, s.nextSerial()
			e.Requeued, e.Due, e.Settled = now, now.Add(time.Duration(n)*interval), time.Time{}
			e.Attempts, e.Tried, e.LastError = 0, time.Time{}, ""
			n++
		case e.Due.After(now):
			e.Due = now
			n++
		}
	}
	s.changed()
	return n, nil
}
