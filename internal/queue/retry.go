package queue

import (
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// outcome returns the outcome of an attempt.
func (p *Policy) outcome(e *Event, r result) Outcome {
	if r.cut {
		return Outcome{Released: true}
	}
	if r.reason == "" {
		return Outcome{State: Delivered, Attempt: r.Attempt}
	}
	now := r.Ended
	deadline := now.Add(p.For)
	if !e.Tried.IsZero() {
		deadline = e.Tried.Add(p.For)
	}
	if p.refused(r) || !now.Before(deadline) {
		return Outcome{State: Dead, Attempt: r.Attempt}
	}
	due := now.Add(max(p.delay(e.Attempts), r.retryAfter))
	if due.After(deadline) {
		due = deadline
	}
	return Outcome{State: Pending, Due: due, Attempt: r.Attempt}
}

// refused reports whether the backend does not want the event, now or later.
func (p *Policy) refused(r result) bool {
	return r.status == http.StatusGone || slices.Contains(p.DeadStatus, r.status)
}

// delay returns the time to wait after an attempt that failed, when failed attempts
// had failed before: random, above 0, and below a bound that doubles with each (full
// jitter), so that events which failed together are not tried again together.
func (p *Policy) delay(failed int) time.Duration {
	bound := p.Max
	if p.First <= p.Max>>failed {
		bound = p.First << failed
	}
	return 1 + rand.N(max(bound, 1))
}

// waitOf returns how long a Retry-After header asks to wait, or 0 if it cannot be
// parsed.
func waitOf(header string) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 63); err == nil {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
