package harness

import "sync"

// Ledger records which events were acknowledged. What is read after a power cut
// does not count, so [Volume.CutPower] closes it first.
type Ledger struct {
	mu           sync.Mutex
	closed       bool
	acknowledged map[string]bool // by id
	deliveries   int             // that were acknowledged
	refused      int             // deliveries
	target       int             // of deliveries
	reached      chan struct{}   // closed when there are so many
}

// NewLedger returns a ledger that is open.
func NewLedger() *Ledger { return &Ledger{acknowledged: make(map[string]bool)} }

// Add records the events of a delivery that was acknowledged. It reports false,
// and records nothing, if the ledger is closed.
func (l *Ledger) Add(ids ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	for _, id := range ids {
		l.acknowledged[id] = true
	}
	if l.deliveries++; l.deliveries == l.target {
		close(l.reached)
	}
	return true
}

// After returns a channel that is closed when n more deliveries are acknowledged.
func (l *Ledger) After(n int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = l.deliveries + n
	l.reached = make(chan struct{})
	return l.reached
}

// Close ends the recording, until Reopen.
func (l *Ledger) Close() { l.setClosed(true) }

// Reopen has the ledger record again.
func (l *Ledger) Reopen() { l.setClosed(false) }

func (l *Ledger) setClosed(closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = closed
}

// Refuse counts a delivery that was refused.
func (l *Ledger) Refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
}

// Has reports whether an event was acknowledged.
func (l *Ledger) Has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acknowledged[id]
}

// Count returns how many events were acknowledged, and how many deliveries
// refused.
func (l *Ledger) Count() (acknowledged, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged), l.refused
}

// Lost returns the acknowledged events that are not among those that are stored.
func (l *Ledger) Lost(stored map[string]int) (lost []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.acknowledged {
		if stored[id] == 0 {
			lost = append(lost, id)
		}
	}
	return lost
}
