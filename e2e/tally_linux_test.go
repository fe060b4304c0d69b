package e2e

import "sync"

// tally guards what a crash test takes for acknowledged. Only what was read
// before the power is cut counts: see volume.cutPower.
type tally struct {
	mu     sync.Mutex
	closed bool
}

// add has note take down an answer that was read, unless the tally is closed.
func (c *tally) add(note func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		note()
	}
}

// close ends the tally. When it returns no note is under way, and none is taken
// until the next call of reopen.
func (c *tally) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *tally) reopen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = false
}
