package storetest

import (
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
// A crash and Close give back what is leased, as if it were released. Waiting and
// leased are both queue.Pending: the latter is in flight.
//
// Events of one conversation, which have the same Order, wait for each other: only
// the first that waits may be leased, and only while no other is. Requeued events
// form a sequence of their own, in the order of their requeueing: they wait for
// each other, but not for live and retried events, and those not for them.

// entry is an event in the model.
type entry struct {
	queue.Event

	// position is its place among the events of its conversation: it goes to
	// the end when it is requeued.
	position int
}

// newEntry returns an event that waits.
func newEntry(r queue.Record, now time.Time, position int) *entry {
	return &entry{position: position, Event: queue.Event{
		Record: r, Size: len(r.Body), State: queue.Pending, Lane: queue.Live, Accepted: now,
	}}
}

// waits reports whether the event could be leased when it is due and its turn in
// the conversation has come.
func (e *entry) waits() bool { return e.State == queue.Pending && !e.InFlight }

// lease moves an event that waits to leased.
func (e *entry) lease() { e.InFlight = true }

// settle moves a leased event on.
func (e *entry) settle(o queue.Outcome, now time.Time) {
	e.InFlight = false
	if o.Released {
		return
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

// requeue makes a settled event wait again until due.
func (e *entry) requeue(now, due time.Time, position int) {
	e.position = position
	e.State, e.Lane = queue.Pending, queue.Replayed
	e.Requeued, e.Due, e.Settled = now, due, time.Time{}
	e.Attempts, e.Tried, e.LastError = 0, time.Time{}, ""
}

// hurry makes an event due that waits for its time, and reports whether it did.
func (e *entry) hurry(now time.Time) bool {
	if !e.waits() || !e.Due.After(now) {
		return false
	}
	e.Due = now
	return true
}

// expired reports whether an event is to be forgotten.
func (e *entry) expired(r queue.Retention, now time.Time) bool {
	switch e.State {
	case queue.Delivered:
		return !e.Settled.Add(r.Delivered).After(now)
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
