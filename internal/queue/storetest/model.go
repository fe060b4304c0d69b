package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// model is what a queue.Store must behave like, written in the plainest way. What
// happens to a single event is in states.go.
type model struct {
	events   []*entry             // in the order of acceptance
	seen     map[string]time.Time // by DuplicateKey: when it was last accepted
	position int                  // the last that was given
}

func newModel() *model { return &model{seen: make(map[string]time.Time)} }

// now returns the time as stores keep it, to a microsecond.
func now() time.Time { return time.UnixMicro(time.Now().UnixMicro()) }

func (m *model) nextPosition() int {
	m.position++
	return m.position
}

func (m *model) accept(records []queue.Record, a queue.Admission) (fresh []*entry, duplicates []bool, err error) {
	now := now()
	keys := make(map[string]bool) // of this delivery
	duplicates = make([]bool, len(records))
	var bytes int64
	for i, r := range records {
		if a.Dedupe > 0 && !r.NotUnique {
			key := r.DuplicateKey()
			at, seen := m.seen[key]
			if keys[key] || seen && now.Before(at.Add(a.Dedupe)) {
				duplicates[i] = true
				continue
			}
			keys[key] = true
		}
		bytes += int64(len(r.Body))
		fresh = append(fresh, newEntry(r, now, 0))
	}
	stats := m.stats()
	if len(fresh) > 0 {
		err := a.Pending(stats.Pending+int64(len(fresh)), stats.PendingBytes+bytes, stats.Pending, stats.PendingBytes)
		if err != nil {
			return nil, nil, queue.ErrFull
		}
	}
	for _, e := range fresh {
		e.position = m.nextPosition()
	}
	for key := range keys {
		m.seen[key] = now
	}
	m.events = append(m.events, fresh...)
	if !slices.Contains(duplicates, true) {
		duplicates = nil
	}
	return fresh, duplicates, nil
}

// held reports whether another event of its conversation keeps e from being leased.
func (m *model) held(e *entry) bool {
	return e.Conversation != "" && slices.ContainsFunc(m.events, func(o *entry) bool {
		sameQueue := (o.Lane == queue.Replayed) == (e.Lane == queue.Replayed)
		return o != e && o.Conversation == e.Conversation && o.State == queue.Pending &&
			(o.InFlight || sameQueue && o.position < e.position)
	})
}

// due returns the events of some lanes that can be leased.
func (m *model) due(at time.Time, lanes ...queue.Lane) (due []*entry) {
	for _, e := range m.events {
		if e.waits() && slices.Contains(lanes, e.Lane) && !e.Due.After(at) && !m.held(e) {
			due = append(due, e)
		}
	}
	return due
}

// next returns when an event can be leased, or the zero time.
func (m *model) next() (at time.Time) {
	for _, e := range m.events {
		if e.waits() && !m.held(e) && (at.IsZero() || e.Due.Before(at)) {
			at = e.Due
			if now := now(); at.Before(now) {
				at = now
			}
		}
	}
	return at
}

// lease checks what a store has leased, and does the same. Which of the events
// that are due come first is for other tests.
func (m *model) lease(got []*queue.Event, limit int) error {
	if len(got) == 0 || len(got) > limit {
		return fmt.Errorf("%d events leased, limit %d", len(got), limit)
	}
	now := now()
	for _, e := range got {
		due := m.due(now, queue.Live, queue.Retried)
		if len(due) == 0 {
			due = m.due(now, queue.Replayed)
		}
		at := slices.IndexFunc(due, func(o *entry) bool { return o.ID == e.ID })
		if at < 0 {
			return fmt.Errorf("leased %s\nwant one of %s", describe(e), describeAll(due))
		}
		due[at].lease()
		if got, want := describe(e), describe(&due[at].Event); got != want {
			return fmt.Errorf("leased %s\nwant   %s", got, want)
		}
	}
	return nil
}

func (m *model) settle(id uint64, o queue.Outcome) { m.find(id).settle(o, now()) }

func (m *model) requeue(f queue.Filter, interval time.Duration) (n int) {
	now := now()
	for _, e := range m.events {
		switch {
		case !selects(f, e):
		case e.State != queue.Pending:
			e.requeue(now, now.Add(time.Duration(n)*interval), m.nextPosition())
			n++
		case e.hurry(now):
			n++
		}
	}
	return n
}

func (m *model) discard(id uint64) error {
	switch e := m.find(id); {
	case e == nil:
		return queue.ErrNotFound
	case e.InFlight:
		return queue.ErrLeased
	}
	m.forget(func(e *entry) bool { return e.ID == id })
	return nil
}

func (m *model) expire(r queue.Retention) {
	now := now()
	m.forget(func(e *entry) bool { return e.expired(r, now) })
}

func (m *model) crash() {
	for _, e := range m.events {
		e.crash()
	}
}

func (m *model) list(f queue.Filter) (found []*queue.Event) {
	all := slices.Clone(m.events)
	if !f.OldestFirst {
		slices.Reverse(all)
	}
	for _, e := range all {
		if selects(f, e) && (f.Limit == 0 || len(found) < f.Limit) {
			listed := e.Event
			if !f.Bodies {
				listed.Body = nil
			}
			found = append(found, &listed)
		}
	}
	return found
}

// outline describes what the model holds without ids and times, the oldest first.
func (m *model) outline() string {
	return outline(m.list(queue.Filter{Bodies: true, OldestFirst: true}))
}

func selects(f queue.Filter, e *entry) bool {
	return (f.ID == 0 || f.ID == e.ID) && (f.State == "" || f.State == e.State) &&
		(f.Field == "" || f.Field == e.Field) && (f.Account == "" || f.Account == e.Account) &&
		!e.Accepted.Before(f.Since) && e.ID > f.After && (f.Before == 0 || e.ID < f.Before)
}

func (m *model) stats() (s queue.Stats) {
	for _, e := range m.events {
		switch e.State {
		case queue.Pending:
			s.Pending++
			s.PendingBytes += int64(e.Size)
			if s.Oldest.IsZero() {
				s.Oldest = e.Accepted
			}
			if e.InFlight {
				s.InFlight++
			}
		case queue.Dead:
			s.Dead++
		case queue.Delivered:
			s.Delivered++
		}
	}
	return s
}

func (m *model) find(id uint64) *entry {
	for _, e := range m.events {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// lastID returns the highest id.
func (m *model) lastID() (id uint64) {
	for _, e := range m.events {
		id = max(id, e.ID)
	}
	return id
}
