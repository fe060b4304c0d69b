// Package memory is a queue.Store that keeps nothing when it is closed. It is for
// tests: simple, and slow when it holds many events.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Store is a queue.Store in memory.
type Store struct {
	mu        sync.Mutex
	change    chan struct{} // closed when something may have become due
	closed    bool
	consumers []*consumer // by name
	events    []*event    // by id, and then by the name of the consumer
	seen      map[string]time.Time
	lastID    uint64
	serial    int // the last that was given
}

// consumer is who takes events.
type consumer struct {
	queue.Consumer
	paused bool
	turn   int // of the lanes Live and Retried
}

// event is an event for one consumer.
type event struct {
	queue.Event
	order   string // key of its sequence
	serial  int    // events of a sequence wait for those with lower ones
	history []queue.Attempt
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

// Join implements queue.Store.
func (s *Store) Join(ctx context.Context, consumers []queue.Consumer) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	total := len(s.consumers)
	for _, c := range consumers {
		if s.consumer(c.Name) == nil {
			total++
		}
	}
	if total > queue.MaxConsumers {
		return fmt.Errorf("more than %d consumers", queue.MaxConsumers)
	}
	for _, c := range consumers {
		if known := s.consumer(c.Name); known != nil {
			known.Consumer = c
			continue
		}
		joined := &consumer{Consumer: c}
		s.consumers = append(s.consumers, joined)
		if c.FromKept {
			s.addKept(joined)
		}
	}
	slices.SortFunc(s.consumers, func(a, b *consumer) int { return cmp.Compare(a.Name, b.Name) })
	s.changed()
	return nil
}

// addKept gives a new consumer the events that are there.
func (s *Store) addKept(c *consumer) {
	var last uint64
	for _, e := range slices.Clone(s.events) {
		if e.ID != last && e.ErasedAt.IsZero() && (len(c.Fields) == 0 || slices.Contains(c.Fields, e.Field)) {
			s.add(c, e.ID, &e.Record, e.Accepted)
		}
		last = e.ID
	}
	s.sort()
}

// consumer returns the consumer of a name, or nil.
func (s *Store) consumer(name string) *consumer {
	for _, c := range s.consumers {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// add adds an event for a consumer.
func (s *Store) add(c *consumer, id uint64, r *queue.Record, accepted time.Time) {
	e := &event{order: c.Order.Of(r), serial: s.nextSerial(), Event: queue.Event{
		Record: *r, ID: id, Size: len(r.Body), Consumer: c.Name, State: queue.Pending, Lane: queue.Live, Accepted: accepted,
	}}
	e.For = 0
	s.events = append(s.events, e)
}

func (s *Store) sort() {
	slices.SortStableFunc(s.events, func(a, b *event) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Consumer, b.Consumer))
	})
}

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, records []queue.Record, a queue.Admission) (duplicates []bool, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	consumers, err := s.recipients(a)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var fresh []queue.Record
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
		fresh = append(fresh, r)
	}
	for i, c := range consumers {
		if err := s.fits(c, i, fresh, a); err != nil {
			return nil, err
		}
	}
	for key := range keys {
		s.seen[key] = now
	}
	for _, r := range fresh {
		s.lastID++
		for i, c := range consumers {
			if r.IsFor(i) {
				s.add(c, s.lastID, &r, now)
			}
		}
		if r.TakesBack {
			s.takeBack(r.Message, now)
		}
	}
	s.sort()
	s.changed()
	return duplicates, nil
}

// recipients returns the consumers of an admission.
func (s *Store) recipients(a queue.Admission) (consumers []*consumer, err error) {
	for _, name := range a.Recipients() {
		c := s.consumer(name)
		if c == nil {
			return nil, fmt.Errorf("%w: %s", queue.ErrNoConsumer, name)
		}
		consumers = append(consumers, c)
	}
	return consumers, nil
}

// fits returns queue.ErrFull if too much would wait for a consumer, the i-th of the
// admission.
func (s *Store) fits(c *consumer, i int, fresh []queue.Record, a queue.Admission) error {
	var events, bytes int64
	for _, r := range fresh {
		if r.IsFor(i) {
			events++
			bytes += int64(len(r.Body))
		}
	}
	if events == 0 {
		return nil
	}
	stats := s.stats(c)
	return a.Pending(stats.Consumer, stats.Pending+events, stats.PendingBytes+bytes, stats.Pending, stats.PendingBytes)
}

// List implements queue.Store.
func (s *Store) List(ctx context.Context, f queue.Filter) (list []queue.Event, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	events := slices.Clone(s.events)
	if !f.OldestFirst {
		slices.SortStableFunc(events, func(a, b *event) int { return cmp.Compare(b.ID, a.ID) })
	}
	ids := 0
	for _, e := range events {
		if !selects(&f, e) {
			continue
		}
		if n := len(list); n == 0 || list[n-1].ID != e.ID {
			if ids++; f.Limit > 0 && ids > f.Limit {
				break
			}
		}
		listed := e.Event
		if !f.Bodies {
			listed.Body = nil
		}
		if f.History {
			listed.History = slices.Clone(e.history)
		}
		list = append(list, listed)
	}
	return list, nil
}

// Last implements queue.Store.
func (s *Store) Last(ctx context.Context) (uint64, error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return s.lastID, nil
}

func selects(f *queue.Filter, e *event) bool {
	return (f.ID == 0 || f.ID == e.ID) && (len(f.IDs) == 0 || slices.Contains(f.IDs, e.ID)) && (f.Consumer == "" || f.Consumer == e.Consumer) &&
		(f.State == "" || f.State == e.State) &&
		(f.Field == "" || f.Field == e.Field) && (f.Account == "" || f.Account == e.Account) &&
		(f.Conversation == "" || f.Conversation == e.Conversation) && strings.HasPrefix(e.LastError, f.Error) && (!f.Failed || e.LastError != "") &&
		!e.Accepted.Before(f.Since) && e.ID > f.After && (f.Before == 0 || e.ID < f.Before)
}

// Discard implements queue.Store.
func (s *Store) Discard(ctx context.Context, consumer string, id uint64) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	f := queue.Filter{ID: id, Consumer: consumer}
	found := false
	for _, e := range s.events {
		if selects(&f, e) {
			found = true
			if e.InFlight {
				return queue.ErrLeased
			}
		}
	}
	if !found {
		return queue.ErrNotFound
	}
	s.forget(func(e *event) bool { return selects(&f, e) })
	s.changed()
	return nil
}

// Erase implements queue.Store.
func (s *Store) Erase(ctx context.Context, erasure queue.Erasure) (n int, err error) {
	if erasure.Erased != nil {
		defer func() { erasure.Erased() }()
	}
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	var last uint64
	for _, e := range s.events {
		if !erasure.Holds(&e.Record) {
			continue
		}
		if e.ID != last {
			n, last = n+1, e.ID
		}
		if !erasure.DryRun {
			e.erase(&erasure)
		}
	}
	s.changed()
	return n, nil
}

// takeBack erases what there is of a message.
func (s *Store) takeBack(message string, now time.Time) {
	for _, e := range s.events {
		if e.Message == message && !e.TakesBack && e.ErasedAt.IsZero() {
			e.erase(&queue.Erasure{At: now, Because: queue.BecauseTakenBack})
		}
	}
}

func (e *event) erase(erasure *queue.Erasure) {
	e.Record, e.Size = erasure.Left(e.Record), 0
	e.ErasedAt, e.ErasedBecause, e.LastError = erasure.At, erasure.Because, ""
	for i := range e.history {
		e.history[i] = e.history[i].WithoutWords()
	}
	if e.State == queue.Pending {
		e.State, e.Lane, e.Due, e.Settled = queue.Erased, "", time.Time{}, erasure.At
	}
}

// find returns an event of a consumer, or nil.
func (s *Store) find(id uint64, consumer string) *event {
	for _, e := range s.events {
		if e.ID == id && e.Consumer == consumer {
			return e
		}
	}
	return nil
}

func (s *Store) forget(which func(*event) bool) { s.events = slices.DeleteFunc(s.events, which) }

// Pause implements queue.Store.
func (s *Store) Pause(ctx context.Context, consumer string, paused bool) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := s.consumer(consumer)
	if c == nil {
		return queue.ErrNoConsumer
	}
	c.paused = paused
	s.changed()
	return nil
}

// Drop implements queue.Store.
func (s *Store) Drop(ctx context.Context, name string) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := s.consumer(name)
	switch {
	case c == nil:
		return queue.ErrNoConsumer
	case s.stats(c).InFlight > 0:
		return queue.ErrLeased
	}
	s.consumers = slices.DeleteFunc(s.consumers, func(other *consumer) bool { return other == c })
	s.forget(func(e *event) bool { return e.Consumer == name })
	s.changed()
	return nil
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
	keep := map[queue.State]time.Duration{queue.Delivered: r.Delivered, queue.Dead: r.Dead, queue.Erased: r.Delivered}
	var old []*event
	for _, e := range s.events {
		if e.State != queue.Pending && !e.InFlight && now.Sub(e.Settled) >= keep[e.State] {
			old = append(old, e)
		}
	}
	if len(old) > 0 {
		s.forget(func(e *event) bool { return e == old[0] })
	}
	return len(old) > 1, nil
}

// Stats implements queue.Store.
func (s *Store) Stats(ctx context.Context) (all []queue.Stats, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for _, c := range s.consumers {
		all = append(all, s.stats(c))
	}
	return all, nil
}

func (s *Store) stats(c *consumer) queue.Stats {
	stats := queue.Stats{Consumer: c.Name, Paused: c.paused}
	for _, e := range s.events {
		if e.Consumer != c.Name {
			continue
		}
		switch e.State {
		case queue.Dead:
			stats.Dead++
		case queue.Delivered:
			stats.Delivered++
		case queue.Erased:
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
