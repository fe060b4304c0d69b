package storetest

import (
	"cmp"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// The states of an event, and what moves it from one to another:
//
//	accept
//	   |
//	   v               lease
//	waiting  ----------------------->  leased
//	 ^ ^ ^                             | | | |
//	 | | +-------- released -----------+ | | |   nothing counts
//	 | +---------- failed ---------------+ | |   an attempt more, lane retried
//	 |                                     | |
//	 +-- requeue --  delivered  <----------+ |   requeue: lane replayed,
//	 +-- requeue --  dead  <-----------------+   attempts from 0
//	                   |
//	                   v
//	               forgotten                     expire: delivered or dead for long enough;
//	                                             discard: any but leased
//
// What is erased loses its body, and what it says of people. Where it waits or is leased it
// becomes erased instead of delivered or dead, unless the attempt under way delivers it, and
// holds up nobody, but for as long as it is leased. It is never requeued, and expires as if
// it had been delivered.
//
// An event has a state for each consumer. It is gone once it is forgotten for all.
//
// A crash and Close give back what is leased, as if it were released. Waiting and
// leased are both queue.Pending: the latter is in flight.
//
// Events of one sequence, which have the same key by the consumer's Order, wait for each
// other: only the first that waits may be leased, and only while no other is. Requeued events
// form a sequence of their own, in the order of their requeueing: they wait for
// each other, but not for live and retried events, and those not for them.

// entry is an event in the model, for one consumer.
type entry struct {
	queue.Event
	order string // key of its sequence; empty: of none

	// position is its place in its sequence: it goes to the end when it is requeued.
	position int
}

// newEntry returns an event that waits for a consumer, without a position.
func newEntry(r queue.Record, id uint64, c *member, accepted time.Time) *entry {
	return &entry{order: c.Order.Of(&r), Event: queue.Event{
		Record: r, ID: id, Size: len(r.Body), Consumer: c.Name,
		State: queue.Pending, Lane: queue.Live, Accepted: accepted,
	}}
}

// sortEntries sorts events by id, and then by consumer.
func sortEntries(events []*entry) {
	slices.SortFunc(events, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Consumer, b.Consumer))
	})
}

// waits reports whether the event could be leased for a consumer when it is due and its
// turn in the sequence has come.
func (e *entry) waits(consumer string) bool {
	return e.Consumer == consumer && e.State == queue.Pending && !e.InFlight
}

// lease moves an event that waits to leased.
func (e *entry) lease() { e.InFlight = true }

// settle moves a leased event on.
func (e *entry) settle(o queue.Outcome, now time.Time) {
	e.InFlight = false
	if o.Released {
		return
	}
	if !e.ErasedAt.IsZero() {
		if o = o.OfErased(); o.State == queue.Erased {
			now = e.Settled
		}
	}
	if e.Attempts > 0 || e.Lane == queue.Replayed || o.State != queue.Delivered {
		e.History = append(slices.Clone(e.History), o.Attempt)
		e.History = e.History[max(0, len(e.History)-queue.MaxHistory):]
	}
	e.Attempts++
	e.State, e.LastError = o.State, o.Error
	if o.State != queue.Pending {
		e.Lane, e.Due, e.Settled = "", time.Time{}, now
		return
	}
	e.Due = o.Due
	if e.Tried.IsZero() {
		e.Tried = o.Ended
	}
	if e.Lane == queue.Live {
		e.Lane = queue.Retried
	}
}

// erase erases an event.
func (e *entry) erase(erasure *queue.Erasure) {
	e.Record, e.Size = erasure.Left(e.Record), 0
	e.ErasedAt, e.ErasedBecause, e.LastError = erasure.At, erasure.Because, ""
	for i := range e.History {
		e.History[i] = e.History[i].WithoutWords()
	}
	if e.State == queue.Pending {
		e.State, e.Lane, e.Due, e.Settled = queue.Erased, "", time.Time{}, erasure.At
	}
}

// requeue makes a settled event wait again until due.
func (e *entry) requeue(now, due time.Time, position int) {
	e.position = position
	e.State, e.Lane = queue.Pending, queue.Replayed
	e.Requeued, e.Due, e.Settled = now, due, time.Time{}
	e.Attempts, e.Tried, e.LastError = 0, time.Time{}, ""
}

// hurry makes an event due that waits for its time, and reports whether it did.
func (e *entry) hurry(now time.Time) bool {
	if !e.waits(e.Consumer) || !e.Due.After(now) {
		return false
	}
	e.Due = now
	return true
}

// expired reports whether an event is to be forgotten.
func (e *entry) expired(r queue.Retention, now time.Time) bool {
	switch e.State {
	case queue.Delivered, queue.Erased:
		return !e.InFlight && !e.Settled.Add(r.Delivered).After(now)
	case queue.Dead:
		return !e.Settled.Add(r.Dead).After(now)
	}
	return false
}

// crash gives a leased event back.
func (e *entry) crash() { e.InFlight = false }

// forget removes the events that which selects.
func (m *model) forget(which func(*entry) bool) {
	m.events = slices.DeleteFunc(m.events, which)
}
