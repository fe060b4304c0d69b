// Package outage warns of failures that go on for minutes, before Meta reacts to
// them.
package outage

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
)

// Consequence is what Meta does about failures that last. See its "Instagram
// Messaging › Webhooks".
const Consequence = "Meta alerts after 15 minutes and ends the subscription to messages after an hour"

// FirstWarning is how long an outage lasts before the first warning of it.
const FirstWarning = 5 * time.Minute

// LastWarning is how long an outage lasts before the last warning of it.
const LastWarning = 12 * time.Minute

// warnAfter is how long an outage lasts before each warning: each leaves time to
// do something about it.
var warnAfter = [...]time.Duration{FirstWarning, LastWarning}

// Reported is an error that belongs to an outage of its own, which others need not tell
// of.
type Reported struct{ Err error }

// Error returns the text of the error.
func (r Reported) Error() string { return r.Err.Error() }

// Unwrap returns the error.
func (r Reported) Unwrap() error { return r.Err }

// Outage is a time of nothing but failures: it begins with a failure and ends
// with a success. The zero Outage is ready for use.
//
// The functions that it is given are called one at a time, in the order of what
// they report, and must not use it.
type Outage struct {
	on atomic.Bool // whether since or before is set, so that most successes take no lock

	mu       sync.Mutex
	since    time.Time // zero: there is none
	before   time.Time // since when another Outage lasted that this one may continue
	warnings []*time.Timer
	stopped  bool
}

// Fail records a failure. The first one calls began, unless it continues another Outage,
// and then lasts after 5 and after 12 minutes without a success.
func (o *Outage) Fail(began func(), lasts func(lasted time.Duration)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped || !o.since.IsZero() {
		return
	}
	since := o.before
	if since.IsZero() {
		since = time.Now()
		began()
	}
	o.since = since
	o.on.Store(true)
	for _, lasted := range warnAfter {
		left := lasted - time.Since(since)
		if left < 0 {
			continue
		}
		o.warnings = append(o.warnings, time.AfterFunc(left, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.since.Equal(since) { // else this came too late to be stopped
				lasts(lasted)
			}
		}))
	}
}

// Continue has the next failure continue another Outage, which began at a time, and the
// next success end that.
func (o *Outage) Continue(since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stopped && o.since.IsZero() {
		o.before = since
		o.on.Store(true)
	}
}

// Recover records a success. If there was an outage, it calls ended with its
// length.
func (o *Outage) Recover(ended func(lasted time.Duration)) {
	if !o.on.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	since := cmp.Or(o.since, o.before)
	if since.IsZero() {
		return
	}
	ended(time.Since(since))
	o.end()
}

// Since returns when the outage began, or the zero time if there is none.
func (o *Outage) Since() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since
}

// Stop ends the outage without calling anything, and lets none begin.
func (o *Outage) Stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end()
	o.stopped = true
}

// end forgets the outage. The caller holds mu.
func (o *Outage) end() {
	for _, timer := range o.warnings {
		timer.Stop()
	}
	o.since, o.before, o.warnings = time.Time{}, time.Time{}, nil
	o.on.Store(false)
}
