package queue

import "time"

// next returns an event whose attempt may begin now, if there is one. Attempts that have
// ended but are not settled count as well: after a crash they are made again, so
// their number must be bounded.
func (d *Dispatcher) next(now time.Time) (l lease, ok bool) {
	if len(d.ready) == 0 || d.cooldownTimer != nil || d.running >= d.pace.limit || d.unsettled >= d.pace.max ||
		d.ready[0].isLost() || !d.rateAllows(now) {
		return lease{}, false
	}
	l = d.ready[0]
	d.ready[0] = lease{}
	d.ready = d.ready[1:]
	d.running++
	return l, true
}

// begin starts as many attempts as the pace allows.
func (d *Dispatcher) begin(now time.Time) {
	for l, ok := d.next(now); ok; l, ok = d.next(now) {
		d.lastActivity = now
		d.attempts.Add(1)
		go d.work(l)
	}
	if d.low() {
		d.wake()
	}
	d.watch(now)
}

// work makes attempts until there is no event for the next one.
func (d *Dispatcher) work(l lease) {
	for more := true; more; {
		r, abandoned := d.attempt(l)
		if abandoned {
			d.returned()
			return
		}
		l, more = d.ended(l, r, false)
	}
	d.attempts.Done()
}

// abandon ends an attempt that does not end by itself.
func (d *Dispatcher) abandon(l lease, r result) {
	if !r.cut {
		d.stuck(l.Event)
	}
	d.ended(l, r, true)
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
// the event of the next attempt, if there is one. An abandoned attempt keeps counting as
// running: else their number would not be bounded.
func (d *Dispatcher) ended(l lease, r result, abandoned bool) (follower lease, more bool) {
	now := time.Now()
	r.Ended = now
	o := d.policy.outcome(l.Event, r)
	d.report(l, r, o)

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
	reason, cause := r.reason, r.cause
	d.settlements.Go(func() {
		d.settle(l, o, reason, cause)
		d.settled()
	})
	if d.stopped {
		return lease{}, false
	}
	d.lastActivity = now
	if !abandoned {
		follower, more = d.next(now)
	}
	d.begin(now)
	return follower, more
}

// pause starts a cooldown, if one is due.
func (d *Dispatcher) pause() {
	if wait := d.pace.cooldown(); wait > 0 && d.cooldownTimer == nil && !d.stopped {
		d.coolDown(wait)
	}
}

// maxLate is how late a timer may be without making the rate lower.
const maxLate = 10 * time.Millisecond

// rateAllows reports whether the rate lets an attempt begin now. If it does not, there is
// a cooldown until it does.
func (d *Dispatcher) rateAllows(now time.Time) bool {
	if d.rate == nil {
		return true
	}
	if late := now.Sub(d.turn); late >= 0 && late < maxLate {
		now = d.turn
	}
	place := d.rate.ReserveN(now, 1)
	wait := place.DelayFrom(now)
	if wait == 0 {
		return true
	}
	place.CancelAt(now)
	d.turn = now.Add(wait)
	d.coolDown(time.Until(d.turn))
	return false
}

// coolDown has no attempt begin for a while.
func (d *Dispatcher) coolDown(wait time.Duration) {
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
