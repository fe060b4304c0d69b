package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// lease is an event that is leased.
type lease struct {
	*Event
	*term
}

// term is how long leases last that the Store may lose together.
type term struct {
	valid      context.Context // as the Store returned it
	attempting context.Context // ends with valid, or when the Dispatcher cuts attempts short
}

// isLost reports whether somebody else may have the event by now.
func (t *term) isLost() bool { return t.valid.Err() != nil }

// termOf returns the term of leases with this context, which mostly is that of the last
// ones. A term that was lost is not used again: what it had was dropped by then.
func (d *Dispatcher) termOf(valid context.Context) *term {
	if d.term != nil && d.term.valid == valid && !d.term.isLost() {
		return d.term
	}
	t := &term{valid: valid}
	attempting, cut := context.WithCancel(d.attempting)
	t.attempting = attempting
	stop := context.AfterFunc(valid, func() {
		cut()
		d.drop(t)
	})
	context.AfterFunc(attempting, func() { stop() })
	d.term = t
	return t
}

// drop forgets what waits for its attempt when its lease is lost.
func (d *Dispatcher) drop(t *term) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready = slices.DeleteFunc(d.ready, func(l lease) bool { return l.term == t })
	if !d.stopped {
		d.begin(time.Now())
	}
}

// maxReady bounds how many events are leased before they can be delivered, so
// that one call of Lease serves many attempts.
const maxReady = 64

// lease leases events until the Dispatcher stops.
func (d *Dispatcher) lease() {
	var pause backoff
	for d.leasing.Err() == nil {
		room, yields := d.room()
		if room == 0 {
			select {
			case <-d.roomAvailable:
			case <-d.leasing.Done():
			}
			continue
		}
		events, valid, err := d.store.Lease(d.leasing, d.policy.Consumer, room)
		if len(events) > 0 {
			d.add(events, valid, yields)
		}
		switch {
		case err == nil:
			pause = 0
		case errors.Is(err, ErrClosed):
			return
		case errors.Is(err, ErrNoConsumer):
			d.logger.Error(msgDropped)
			return
		case d.leasing.Err() == nil:
			d.logStoreError("leasing", err)
			pause.wait(d.leasing)
		}
	}
}

// room returns how many events to lease, and how often the Dispatcher has yielded by now.
func (d *Dispatcher) room() (room, yields int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.low() {
		room = d.mayReady() - len(d.ready)
		if d.rate == nil {
			room += max(0, d.pace.limit-d.running)
		}
	}
	return room, d.yields
}

// mayReady returns how many events may wait for their attempts: with a rate, no more than
// begin within a second.
func (d *Dispatcher) mayReady() int {
	most := min(d.pace.limit, maxReady)
	if d.rate != nil {
		most = min(most, 1+int(min(d.policy.Rate, maxReady)))
	}
	return most
}

// low reports whether it is time to lease more.
func (d *Dispatcher) low() bool { return len(d.ready) <= d.mayReady()/2 }

// add takes over events that were leased. If the Dispatcher has yielded since Lease was
// called, they may be from before, and are given back too.
func (d *Dispatcher) add(events []*Event, valid context.Context, yields int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.termOf(valid)
	for _, e := range events {
		d.ready = append(d.ready, lease{e, t})
	}
	if d.stopped || yields != d.yields {
		d.releaseReady()
	}
	if !d.stopped {
		d.begin(time.Now())
	}
}

// wake tells the leasing loop that there may be room.
func (d *Dispatcher) wake() {
	select {
	case d.roomAvailable <- struct{}{}:
	default:
	}
}

// Yield gives back what is leased, but not begun, and leases anew. If a consumer was
// paused before, no attempt begins for it once Yield has returned.
func (d *Dispatcher) Yield() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.yields++
	d.releaseReady()
	d.wake()
}

// releaseReady gives back what waits for its attempt.
func (d *Dispatcher) releaseReady() {
	for _, l := range d.ready {
		d.release(l)
	}
	d.ready = nil
}
