package queue

import "time"

// pace is how many attempts there may be at the same time. It starts slowly, so
// that an application that recovers is not run over.
type pace struct {
	limit, max int
	failed     int // attempts in a row, since the pace began anew
	outage     int // attempts in a row
}

// When so many attempts have failed in a row, the application is down. There is
// a rest before each further one then: thousands of events that fail one after
// the other would take the machine from those that come in. The rest is short,
// as the next event may be for another application.
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

// success takes note of an attempt that was answered as it should be.
func (p *pace) success() {
	p.failed, p.outage = 0, 0
	p.limit = min(p.limit+1, p.max)
}

// failure takes note of a failed attempt. When as many have failed in a row as
// may run at the same time, it is not a single event that fails: the pace
// begins anew.
func (p *pace) failure() {
	p.outage++
	if p.failed++; p.failed >= p.limit {
		p.failed, p.limit = 0, 1
	}
}

// stall makes room for one attempt more while those that run do not end. Else a
// single event that hangs would hold back all others.
func (p *pace) stall(running int) {
	p.limit = min(max(p.limit, running)+1, p.max)
}
