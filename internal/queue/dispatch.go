package queue

import (
	"errors"
	"time"
)

// maxReady bounds how many events are leased before they can be delivered, so
// that one call of Lease serves many attempts.
const maxReady = 64

// lease leases events until the Dispatcher stops.
func (d *Dispatcher) lease() {
	var pause backoff
	for d.leasing.Err() == nil {
		room := d.room()
		if room == 0 {
			select {
			case <-d.roomAvailable:
			case <-d.leasing.Done():
			}
			continue
		}
		events, err := d.store.Lease(d.leasing, room)
		d.add(events)
		switch {
		case err == nil:
			pause = 0
		case errors.Is(err, ErrClosed):
			return
		case d.leasing.Err() == nil:
			d.logStoreError("leasing", err)
			pause.wait(d.leasing)
		}
	}
}

// room returns how many events to lease.
func (d *Dispatcher) room() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.low() {
		return 0
	}
	return d.mayReady() - len(d.ready) + max(0, d.pace.limit-d.running)
}

func (d *Dispatcher) mayReady() int { return min(d.pace.limit, maxReady) }

// low reports whether it is time to lease more.
func (d *Dispatcher) low() bool { return len(d.ready) <= d.mayReady()/2 }

// add takes over events that were leased.
func (d *Dispatcher) add(events []*Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		for _, e := range events {
			d.release(e)
		}
		return
	}
	d.ready = append(d.ready, events...)
	d.begin(time.Now())
}

// next takes an event for an attempt that begins now, if there may be one.
// Attempts that ended, but are not settled, may come to be made again after a
// crash: these are bounded too.
func (d *Dispatcher) next() *Event {
	if len(d.ready) == 0 || d.cooldownTimer != nil || d.running >= d.pace.limit || d.unsettled >= d.pace.max {
		return nil
	}
	e := d.ready[0]
	d.ready[0] = nil
	d.ready = d.ready[1:]
	d.running++
	return e
}

// begin begins the attempts that there may be.
func (d *Dispatcher) begin(now time.Time) {
	for e := d.next(); e != nil; e = d.next() {
		d.lastActivity = now
		d.attempts.Add(1)
		go d.work(e)
	}
	if d.low() {
		d.wake()
	}
	d.watch(now)
}

// work makes one attempt after the other while there are events for it.
func (d *Dispatcher) work(e *Event) {
	for e != nil {
		r, abandoned := d.attempt(e)
		if abandoned {
			d.returned()
			return
		}
		e = d.ended(e, r, false)
	}
	d.attempts.Done()
}

// abandon ends an attempt that does not end by itself.
func (d *Dispatcher) abandon(e *Event, r result) {
	if !r.cut {
		d.stuck(e)
	}
	d.ended(e, r, true)
	d.attempts.Done()
}

// returned makes room after an attempt that was abandoned.
func (d *Dispatcher) returned() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	if !d.stopped {
		d.lastActivity = time.Now()
		d.begin(d.lastActivity)
	}
}

// ended ends an attempt, has it settled, and returns the event for the next one,
// or nil. One that was abandoned goes on to take the room of an attempt: else
// there could be any number of them.
func (d *Dispatcher) ended(e *Event, r result, abandoned bool) *Event {
	now := time.Now()
	o := d.policy.outcome(e, r, now)
	d.report(e, r, o)

	d.mu.Lock()
	defer d.mu.Unlock()
	if !abandoned {
		d.running--
	}
	d.unsettled++
	if r.reason == "" || d.policy.refused(r) {
		d.pace.success()
	} else {
		d.pace.failure()
		d.pause()
	}
	d.settlements.Go(func() {
		d.settle(e, o, r)
		d.settled()
	})
	if d.stopped {
		return nil
	}
	d.lastActivity = now
	var follower *Event
	if !abandoned {
		follower = d.next()
	}
	d.begin(now)
	return follower
}

// pause keeps attempts from beginning for a while, if that is due.
func (d *Dispatcher) pause() {
	wait := d.pace.cooldown()
	if wait == 0 || d.cooldownTimer != nil || d.stopped {
		return
	}
	d.loops.Add(1)
	d.cooldownTimer = time.AfterFunc(wait, func() {
		defer d.loops.Done()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.cooldownTimer = nil; !d.stopped {
			d.begin(time.Now())
		}
	})
}

// settled makes room for attempts after a settlement.
func (d *Dispatcher) settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsettled--
	if !d.stopped && d.unsettled == d.pace.max-1 {
		d.begin(time.Now())
	}
}

// wake makes the loop look for room.
func (d *Dispatcher) wake() {
	select {
	case d.roomAvailable <- struct{}{}:
	default:
	}
}

// stallAfter is how long the limit holds while no attempt ends.
const stallAfter = time.Second

// watch sees to it that the limit grows when attempts hang.
func (d *Dispatcher) watch(now time.Time) {
	if d.stallTimer != nil || d.running < d.pace.limit || d.pace.limit == d.pace.max {
		return
	}
	d.loops.Add(1)
	d.stallTimer = time.AfterFunc(stallAfter-now.Sub(d.lastActivity), d.stalled)
}

// stalled makes the limit grow if attempts hang.
func (d *Dispatcher) stalled() {
	defer d.loops.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stallTimer = nil
	if d.stopped {
		return
	}
	now := time.Now()
	if d.running >= d.pace.limit && now.Sub(d.lastActivity) >= stallAfter {
		d.pace.stall(d.running)
		d.lastActivity = now
	}
	d.begin(now)
}
