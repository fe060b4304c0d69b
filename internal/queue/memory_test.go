package queue

import (
	"context"
	"slices"
	"sync"
	"time"
)

// memory is a Store that keeps nothing, for tests.
type memory struct {
	mu     sync.Mutex
	change chan struct{} // closed when something may have become due
	closed bool
	events []*Event // the oldest first
	line   []*Event // the pending ones; the first of an Order must go first
	last   uint64
	seen   map[string]time.Time
	turn   int
}

func newMemory() *memory {
	return &memory{change: make(chan struct{}), seen: make(map[string]time.Time)}
}

// lock locks the store, unless it is closed.
func (m *memory) lock() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	return nil
}

func (m *memory) changed() {
	close(m.change)
	m.change = make(chan struct{})
}

func (m *memory) Accept(_ context.Context, records []Record, a Admission) (duplicates []bool, err error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	var fresh []*Event
	identities := make(map[string]bool)
	var size int64
	for i, r := range records {
		key := r.DuplicateKey()
		at, seen := m.seen[key]
		if a.Dedupe > 0 && !r.NotUnique && (seen && now.Sub(at) < a.Dedupe || identities[key]) {
			if duplicates == nil {
				duplicates = make([]bool, len(records))
			}
			duplicates[i] = true
			continue
		}
		identities[key] = true
		r.Body = slices.Clone(r.Body)
		size += int64(len(r.Body))
		fresh = append(fresh, &Event{Record: r, Size: len(r.Body), State: Pending, Lane: Live, Accepted: now, Due: now})
	}
	stats := m.stats()
	if a.MaxEvents > 0 && stats.Pending+int64(len(fresh)) > a.MaxEvents || a.MaxBytes > 0 && stats.PendingBytes+size > a.MaxBytes {
		return nil, ErrFull
	}
	for _, e := range fresh {
		m.last++
		e.ID = m.last
		m.seen[e.DuplicateKey()] = now
	}
	m.events = append(m.events, fresh...)
	m.line = append(m.line, fresh...)
	m.changed()
	return duplicates, nil
}

func (m *memory) Lease(ctx context.Context, limit int) ([]*Event, error) {
	for {
		if err := m.lock(); err != nil {
			return nil, err
		}
		due, next := m.due(time.Now(), limit)
		change := m.change
		m.mu.Unlock()
		if len(due) > 0 {
			return due, nil
		}
		var alarm <-chan time.Time
		if !next.IsZero() {
			alarm = time.After(time.Until(next))
		}
		select {
		case <-change:
		case <-alarm:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// due leases what is due, or returns when something will be.
func (m *memory) due(now time.Time, limit int) (leased []*Event, next time.Time) {
	lanes := make(map[Lane][]*Event)
	begun := make(map[string]bool)
	for _, e := range m.line {
		first := e.Order == "" || !begun[e.Order]
		begun[e.Order] = true
		switch {
		case !first || e.InFlight:
		case !e.Due.After(now):
			lanes[e.Lane] = append(lanes[e.Lane], e)
		case next.IsZero() || e.Due.Before(next):
			next = e.Due
		}
	}
	if len(lanes[Live])+len(lanes[Retried]) == 0 {
		lanes[Live] = lanes[Replayed]
	}
	for len(leased) < limit && len(lanes[Live])+len(lanes[Retried]) > 0 {
		m.turn++
		lane := []Lane{Live, Retried}[m.turn%2]
		if len(lanes[lane]) == 0 {
			continue
		}
		e := lanes[lane][0]
		lanes[lane] = lanes[lane][1:]
		e.InFlight = true
		leased = append(leased, new(*e))
	}
	return leased, next
}

func (m *memory) find(id uint64) *Event {
	for _, e := range m.events {
		if e.ID == id {
			return e
		}
	}
	return nil
}

func (m *memory) Settle(_ context.Context, leased *Event, o Outcome) error {
	if err := m.lock(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	e := m.find(leased.ID)
	if e == nil || !e.InFlight {
		return ErrNotFound
	}
	e.InFlight = false
	defer m.changed()
	if o.Released {
		return nil
	}
	e.Attempts++
	e.LastError = o.Error
	if o.State == Pending {
		e.Due = o.Due
		if e.Tried.IsZero() {
			e.Tried = o.Ended
		}
		if e.Lane == Live {
			e.Lane = Retried
		}
		return nil
	}
	e.State, e.Settled = o.State, time.Now()
	m.line = slices.DeleteFunc(m.line, func(other *Event) bool { return other == e })
	return nil
}

func (f *Filter) selects(e *Event) bool {
	return (f.ID == 0 || f.ID == e.ID) && (f.State == "" || f.State == e.State) &&
		(f.Field == "" || f.Field == e.Field) && (f.Account == "" || f.Account == e.Account) &&
		!e.Accepted.Before(f.Since) && (f.Before == 0 || e.ID < f.Before)
}

func (m *memory) List(_ context.Context, f Filter) (list []Event, err error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, e := range slices.Backward(m.events) {
		if f.selects(e) && (f.Limit == 0 || len(list) < f.Limit) {
			list = append(list, *e)
			if !f.Bodies {
				list[len(list)-1].Body = nil
			}
		}
	}
	return list, nil
}

func (m *memory) Requeue(_ context.Context, f Filter, interval time.Duration) (n int, err error) {
	if err := m.lock(); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	due := now
	for _, e := range m.events {
		if !f.selects(e) || e.InFlight || e.State == Pending && e.Lane != Retried {
			continue
		}
		n++
		if e.State == Pending {
			e.Due = now
			continue
		}
		e.State, e.Lane, e.Requeued, e.Due, e.Attempts, e.Settled = Pending, Replayed, now, due, 0, time.Time{}
		e.Tried = time.Time{}
		due = due.Add(interval)
		m.line = append(m.line, e)
	}
	m.changed()
	return n, nil
}

func (m *memory) Discard(_ context.Context, id uint64) error {
	if err := m.lock(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	e := m.find(id)
	switch {
	case e == nil:
		return ErrNotFound
	case e.InFlight:
		return ErrLeased
	}
	m.forget(func(other *Event) bool { return other == e })
	m.changed()
	return nil
}

func (m *memory) forget(which func(*Event) bool) {
	m.events = slices.DeleteFunc(m.events, which)
	m.line = slices.DeleteFunc(m.line, which)
}

// Expire forgets one event at a time.
func (m *memory) Expire(_ context.Context, r Retention) (more bool, err error) {
	if err := m.lock(); err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	for identity, at := range m.seen {
		if now.Sub(at) >= r.Dedupe {
			delete(m.seen, identity)
		}
	}
	old := 0
	keep := map[State]time.Duration{Delivered: r.Delivered, Dead: r.Dead}
	m.forget(func(e *Event) bool {
		if e.State == Pending || now.Sub(e.Settled) < keep[e.State] {
			return false
		}
		old++
		return old == 1
	})
	return old > 1, nil
}

func (m *memory) Stats(context.Context) (Stats, error) {
	if err := m.lock(); err != nil {
		return Stats{}, err
	}
	defer m.mu.Unlock()
	return m.stats(), nil
}

func (m *memory) stats() (s Stats) {
	for _, e := range m.events {
		switch e.State {
		case Dead:
			s.Dead++
		case Delivered:
			s.Delivered++
		default:
			s.Pending++
			s.PendingBytes += int64(e.Size)
			if s.Oldest.IsZero() {
				s.Oldest = e.Accepted
			}
		}
		if e.InFlight {
			s.InFlight++
		}
	}
	return s
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.changed()
	}
	return nil
}
