package queue

import "time"

// pace is how many attempts there may be at the same time. It starts slowly, so
// that an application that recovers is not run over.
type pace struct {
	limit, max int
	failed     int // attempts in a row, since the pace began anew
	outage     int // attempts in a row
}

// After outageAfter failed attempts in a row, the application is down, and there is a
// cooldown before each further attempt: without it, thousands of failing events
// would take the processor from deliveries that come in. It is short, because the
// next event may be for another application.
const (
	outageAfter = 10
	cooldown    = 5 * time.Millisecond
)

// cooldown returns how long to wait before the next attempt.
func (p *pace) cooldown() time.Duration {
	if p.outage < outageAfter {
		return 0
	}
	return cooldown
}

// success counts an attempt that succeeded.
func (p *pace) success() {
	p.failed, p.outage = 0, 0
	p.limit = min(p.limit+1, p.max)
}

// failure counts a failed attempt. When as many attempts have failed in a row as may
// run at the same time, it is not a single event that fails: the pace starts over.
func (p *pace) failure() {
	p.outage++
	if p.failed++; p.failed >= p.limit {
		p.failed, p.limit = 0, 1
	}
}

// stall allows one attempt more while those that run do not end. Otherwise a single
// event that hangs would hold back all others.
func (p *pace) stall(running int) {
	p.limit = min(max(p.limit, running)+1, p.max)
}
