package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// model is what a queue.Store must behave like, written in the plainest way. What
// happens to a single event is in states.go, and who takes events in members.go.
type model struct {
	members  []*member            // by name
	events   []*entry             // by id, and then by consumer
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

// accept accepts events. Only the store knows their ids: those here are provisional.
func (m *model) accept(records []queue.Record, a queue.Admission) (fresh []*entry, duplicates []bool, err error) {
	now := now()
	recipients := m.recipients(a)
	if recipients == nil {
		return nil, nil, queue.ErrNoConsumer
	}
	keys := make(map[string]bool) // of this delivery
	duplicates = make([]bool, len(records))
	id := m.lastID()
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
		id++
		for n, c := range recipients {
			if r.IsFor(n) {
				fresh = append(fresh, newEntry(r, id, c, now))
			}
		}
	}
	for _, c := range recipients {
		if !m.fits(c, fresh, a) {
			return nil, nil, queue.ErrFull
		}
	}
	sortEntries(fresh)
	for _, e := range fresh {
		e.position = m.nextPosition()
	}
	for key := range keys {
		m.seen[key] = now
	}
	m.events = append(m.events, fresh...)
	for _, taker := range fresh {
		for _, e := range m.events {
			if taker.TakesBack && e.Message == taker.Message && !e.TakesBack && e.ErasedAt.IsZero() && e.position < taker.position {
				e.erase(&queue.Erasure{At: now, Because: queue.BecauseTakenBack})
			}
		}
	}
	if !slices.Contains(duplicates, true) {
		duplicates = nil
	}
	return fresh, duplicates, nil
}

// fits reports whether so many more events may wait for a consumer.
func (m *model) fits(c *member, fresh []*entry, a queue.Admission) bool {
	var events, bytes int64
	for _, e := range fresh {
		if e.Consumer == c.Name {
			events++
			bytes += int64(e.Size)
		}
	}
	stats := m.stats(c)
	return events == 0 ||
		a.Pending(stats.Consumer, stats.Pending+events, stats.PendingBytes+bytes, stats.Pending, stats.PendingBytes) == nil
}

// held reports whether another event of its sequence keeps e from being leased.
func (m *model) held(e *entry) bool {
	return e.order != "" && slices.ContainsFunc(m.events, func(o *entry) bool {
		sameQueue := (o.Lane == queue.Replayed) == (e.Lane == queue.Replayed)
		return o != e && o.Consumer == e.Consumer && o.order == e.order &&
			(o.InFlight || o.State == queue.Pending && sameQueue && o.position < e.position)
	})
}

// due returns the events of some lanes that can be leased for a consumer.
func (m *model) due(consumer string, at time.Time, lanes ...queue.Lane) (due []*entry) {
	for _, e := range m.events {
		if e.waits(consumer) && slices.Contains(lanes, e.Lane) && !e.Due.After(at) && !m.held(e) {
			due = append(due, e)
		}
	}
	return due
}

// next returns when an event can be leased for a consumer, or the zero time.
func (m *model) next(c *member) (at time.Time) {
	if c.paused {
		return time.Time{}
	}
	for _, e := range m.events {
		if e.waits(c.Name) && !m.held(e) && (at.IsZero() || e.Due.Before(at)) {
			at = e.Due
			if now := now(); at.Before(now) {
				at = now
			}
		}
	}
	return at
}

// lease checks what a store has leased, and does the same. Which of the events
// that are due come first, and whether they have their history, is for other tests.
func (m *model) lease(consumer string, got []*queue.Event, limit int) error {
	if len(got) == 0 || len(got) > limit {
		return fmt.Errorf("%d events leased, limit %d", len(got), limit)
	}
	now := now()
	for _, e := range got {
		due := m.due(consumer, now, queue.Live, queue.Retried)
		if len(due) == 0 {
			due = m.due(consumer, now, queue.Replayed)
		}
		at := slices.IndexFunc(due, func(o *entry) bool { return o.ID == e.ID })
		if at < 0 {
			return fmt.Errorf("leased %s\nwant one of %s", describe(e), describeAll(due))
		}
		due[at].lease()
		if got, want := describe(withoutHistory(e)), describe(withoutHistory(&due[at].Event)); got != want {
			return fmt.Errorf("leased %s\nwant   %s", got, want)
		}
	}
	return nil
}

func (m *model) settle(id uint64, consumer string, o queue.Outcome) {
	m.find(id, consumer).settle(o, now())
}

func (m *model) requeue(f queue.Filter, interval time.Duration) (n int) {
	now := now()
	for _, e := range m.events {
		switch {
		case !selects(f, e) || !e.ErasedAt.IsZero():
		case e.State != queue.Pending:
			e.requeue(now, now.Add(time.Duration(n)*interval), m.nextPosition())
			n++
		case e.hurry(now):
			n++
		}
	}
	return n
}

func (m *model) discard(consumer string, id uint64) error {
	which := func(e *entry) bool { return e.ID == id && (consumer == "" || e.Consumer == consumer) }
	found := false
	for _, e := range m.events {
		if which(e) {
			found = true
			if e.InFlight {
				return queue.ErrLeased
			}
		}
	}
	if !found {
		return queue.ErrNotFound
	}
	m.forget(which)
	return nil
}

func (m *model) erase(erasure queue.Erasure) (n int) {
	var last uint64
	for _, e := range m.events {
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
	return n
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
		slices.SortStableFunc(all, func(a, b *entry) int { return cmp.Compare(b.ID, a.ID) })
	}
	ids := make(map[uint64]bool)
	for _, e := range all {
		if !selects(f, e) || f.Limit > 0 && len(ids) == f.Limit && !ids[e.ID] {
			continue
		}
		ids[e.ID] = true
		listed := e.Event
		if !f.Bodies {
			listed.Body = nil
		}
		if !f.History {
			listed.History = nil
		}
		found = append(found, &listed)
	}
	return found
}

// outline describes what the model holds without ids and times, the oldest first.
func (m *model) outline() string {
	var stats []queue.Stats
	for _, c := range m.members {
		stats = append(stats, m.stats(c))
	}
	return outline(m.list(everything), stats)
}

func selects(f queue.Filter, e *entry) bool {
	return (f.ID == 0 || f.ID == e.ID) && (len(f.IDs) == 0 || slices.Contains(f.IDs, e.ID)) && (f.Consumer == "" || f.Consumer == e.Consumer) &&
		(f.State == "" || f.State == e.State) &&
		(f.Field == "" || f.Field == e.Field) && (f.Account == "" || f.Account == e.Account) &&
		(f.Conversation == "" || f.Conversation == e.Conversation) && strings.HasPrefix(e.LastError, f.Error) && (!f.Failed || e.LastError != "") &&
		!e.Accepted.Before(f.Since) && e.ID > f.After && (f.Before == 0 || e.ID < f.Before)
}

func (m *model) find(id uint64, consumer string) *entry {
	for _, e := range m.events {
		if e.ID == id && e.Consumer == consumer {
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
