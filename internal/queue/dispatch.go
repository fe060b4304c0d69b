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
		room, yields := d.room()
		if room == 0 {
			select {
			case <-d.roomAvailable:
			case <-d.leasing.Done():
			}
			continue
		}
		events, _, err := d.store.Lease(d.leasing, d.policy.Consumer, room)
		d.add(events, yields)
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

// room returns how many events to lease, and how often the Dispatcher has yielded by now.
func (d *Dispatcher) room() (room, yields int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.low() {
		room = d.mayReady() - len(d.ready) + max(0, d.pace.limit-d.running)
	}
	return room, d.yields
}

func (d *Dispatcher) mayReady() int { return min(d.pace.limit, maxReady) }

// low reports whether it is time to lease more.
func (d *Dispatcher) low() bool { return len(d.ready) <= d.mayReady()/2 }

// add takes over events that were leased. If the Dispatcher has yielded since Lease was
// called, they may be from before, and are given back too.
func (d *Dispatcher) add(events []*Event, yields int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped || yields != d.yields {
		for _, e := range events {
			d.release(e)
		}
		return
	}
	d.ready = append(d.ready, events...)
	d.begin(time.Now())
}

// next returns an event whose attempt may begin now, or nil. Attempts that have
// ended but are not settled count as well: after a crash they are made again, so
// their number must be bounded.
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

// begin starts as many attempts as the pace allows.
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

// work makes attempts until there is no event for the next one.
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

// returned counts an abandoned attempt as ended.
func (d *Dispatcher) returned() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	if !d.stopped {
		d.lastActivity = time.Now()
		d.begin(d.lastActivity)
	}
}

// ended records the end of an attempt, settles it in the background, and returns
// the event of the next attempt, or nil. An abandoned attempt keeps counting as
// running: else their number would not be bounded.
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

// pause starts a cooldown during which no attempt begins, if one is due.
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

// settled lets attempts begin again that waited for a settlement.
func (d *Dispatcher) settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsettled--
	if !d.stopped && d.unsettled == d.pace.max-1 {
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

// stallAfter is how long no attempt may end before the limit grows.
const stallAfter = time.Second

// watch starts the stall timer when all attempts that the pace allows are running.
func (d *Dispatcher) watch(now time.Time) {
	if d.stallTimer != nil || d.running < d.pace.limit || d.pace.limit == d.pace.max {
		return
	}
	d.loops.Add(1)
	d.stallTimer = time.AfterFunc(stallAfter-now.Sub(d.lastActivity), d.stalled)
}

// stalled raises the limit if attempts hang.
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
