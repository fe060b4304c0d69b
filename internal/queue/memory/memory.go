// Package memory is a queue.Store that keeps nothing when it is closed. It is for
// tests: simple, and slow when it holds many events.
package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Store is a queue.Store in memory.
type Store struct {
	mu     sync.Mutex
	change chan struct{} // closed when something may have become due
	closed bool
	events []*event // in the order of acceptance
	seen   map[string]time.Time
	lastID uint64
	serial int // the last that was given
	turn   int // of the lanes Live and Retried
}

// event is an event in the store.
type event struct {
	queue.Event
	serial int // events of one Order wait for those with lower ones
}

var _ queue.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{change: make(chan struct{}), seen: make(map[string]time.Time)}
}

// lock locks the store, unless it is closed or the context has ended.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return queue.ErrClosed
	}
	return nil
}

// changed wakes those that wait for an event to become due.
func (s *Store) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

func (s *Store) nextSerial() int {
	s.serial++
	return s.serial
}

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, records []queue.Record, a queue.Admission) (duplicates []bool, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	var fresh []*event
	var bytes int64
	keys := make(map[string]bool) // of this delivery
	for i, r := range records {
		if a.Dedupe > 0 && !r.NotUnique {
			key := r.DuplicateKey()
			at, seen := s.seen[key]
			if keys[key] || seen && now.Sub(at) < a.Dedupe {
				if duplicates == nil {
					duplicates = make([]bool, len(records))
				}
				duplicates[i] = true
				continue
			}
			keys[key] = true
		}
		r.Body = slices.Clone(r.Body)
		bytes += int64(len(r.Body))
		fresh = append(fresh, &event{Event: queue.Event{
			Record: r, Size: len(r.Body), State: queue.Pending, Lane: queue.Live, Accepted: now,
		}})
	}
	if len(fresh) == 0 {
		return duplicates, nil
	}
	stats := s.stats()
	events := stats.Pending + int64(len(fresh))
	if err := a.Pending(events, stats.PendingBytes+bytes, stats.Pending, stats.PendingBytes); err != nil {
		return nil, err
	}
	for _, e := range fresh {
		s.lastID++
		e.ID, e.serial = s.lastID, s.nextSerial()
	}
	for key := range keys {
		s.seen[key] = now
	}
	s.events = append(s.events, fresh...)
	s.changed()
	return duplicates, nil
}

// List implements queue.Store.
func (s *Store) List(ctx context.Context, f queue.Filter) (list []queue.Event, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	events := slices.Clone(s.events)
	if !f.OldestFirst {
		slices.Reverse(events)
	}
	for _, e := range events {
		if !selects(&f, e) {
			continue
		}
		listed := e.Event
		if !f.Bodies {
			listed.Body = nil
		}
		list = append(list, listed)
		if len(list) == f.Limit {
			break
		}
	}
	return list, nil
}

func selects(f *queue.Filter, e *event) bool {
	return (f.ID == 0 || f.ID == e.ID) && (f.State == "" || f.State == e.State) &&
		(f.Field == "" || f.Field == e.Field) && (f.Account == "" || f.Account == e.Account) &&
		!e.Accepted.Before(f.Since) && e.ID > f.After && (f.Before == 0 || e.ID < f.Before)
}

// Discard implements queue.Store.
func (s *Store) Discard(ctx context.Context, id uint64) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	e := s.find(id)
	switch {
	case e == nil:
		return queue.ErrNotFound
	case e.InFlight:
		return queue.ErrLeased
	}
	s.forget(e)
	s.changed()
	return nil
}

// find returns the event with an id, or nil.
func (s *Store) find(id uint64) *event {
	at, found := slices.BinarySearchFunc(s.events, id, func(e *event, id uint64) int { return int(e.ID) - int(id) })
	if !found {
		return nil
	}
	return s.events[at]
}

func (s *Store) forget(e *event) {
	s.events = slices.DeleteFunc(s.events, func(other *event) bool { return other == e })
}

// Expire implements queue.Store. It forgets one event at a time.
func (s *Store) Expire(ctx context.Context, r queue.Retention) (more bool, err error) {
	if err := s.lock(ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	for key, at := range s.seen {
		if now.Sub(at) >= r.Dedupe {
			delete(s.seen, key)
		}
	}
	keep := map[queue.State]time.Duration{queue.Delivered: r.Delivered, queue.Dead: r.Dead}
	var old []*event
	for _, e := range s.events {
		if e.State != queue.Pending && now.Sub(e.Settled) >= keep[e.State] {
			old = append(old, e)
		}
	}
	if len(old) > 0 {
		s.forget(old[0])
	}
	return len(old) > 1, nil
}

// Stats implements queue.Store.
func (s *Store) Stats(ctx context.Context) (queue.Stats, error) {
	if err := s.lock(ctx); err != nil {
		return queue.Stats{}, err
	}
	defer s.mu.Unlock()
	return s.stats(), nil
}

func (s *Store) stats() (stats queue.Stats) {
	for _, e := range s.events {
		switch e.State {
		case queue.Dead:
			stats.Dead++
		case queue.Delivered:
			stats.Delivered++
		default:
			stats.Pending++
			stats.PendingBytes += int64(e.Size)
			if stats.Oldest.IsZero() {
				stats.Oldest = e.Accepted
			}
		}
		if e.InFlight {
			stats.InFlight++
		}
	}
	return stats
}

// Close implements queue.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.changed()
	}
	return nil
}
