package sqlite

import "slices"

// memory is what a store knows of its events without the file: what is leased, and how
// far it has looked. After a crash nothing is leased, as nobody delivers any more, and
// it looks again from the mark on.
//
// It is bounded by what is leased: an event that has to wait for another one of its
// conversation has a status row instead of a place here.
type memory struct {
	counts counts
	last   int64 // the highest number that was given to an event or a position
	rows   int64 // pending events that have a status row

	// cursor is the last event that was looked at. Those up to it have a status row,
	// are open, or are gone.
	cursor   int64
	open     map[int64]*lease // without a status row: leased or returned
	order    []int64          // ids of these, and of some that no longer are; rising
	returned []int64          // open, but not leased any more: to be offered first; rising

	leased map[int64]*lease
	busy   map[int64]struct{} // chains that have an event which is leased or returned
	turn   int                // of the lanes

	identities identities
}

// lease is what is to be known of an event to settle it.
type lease struct {
	chain    int64 // as in its status row
	open     bool  // it has no status row
	lane     int
	attempts int64
	tried    int64
	size     int64
}

func newMemory() *memory {
	return &memory{
		open:   make(map[int64]*lease),
		leased: make(map[int64]*lease),
		busy:   make(map[int64]struct{}),
	}
}

// isBusy reports whether a chain has an event that is leased or returned.
func (m *memory) isBusy(chain int64) bool {
	_, busy := m.busy[chain]
	return busy
}

// begin begins a lease.
func (m *memory) begin(id int64, l *lease) {
	m.leased[id] = l
	m.occupy(id, l)
	if at, returned := slices.BinarySearch(m.returned, id); returned {
		m.returned = slices.Delete(m.returned, at, at+1)
	}
}

func (m *memory) occupy(id int64, l *lease) {
	if l.chain != 0 {
		m.busy[l.chain] = struct{}{}
	}
	if l.open {
		m.open[id] = l
	}
}

// giveBack ends a lease as if it had never begun. An event without a status row keeps
// its chain, so that none of its followers comes first.
func (m *memory) giveBack(id int64) {
	l := m.leased[id]
	if l == nil {
		return
	}
	delete(m.leased, id)
	if !l.open {
		delete(m.busy, l.chain)
		return
	}
	at, _ := slices.BinarySearch(m.returned, id)
	m.returned = slices.Insert(m.returned, at, id)
}

// drop forgets an event that is leased or returned, as it has got a status row or is
// gone.
func (m *memory) drop(id int64, l *lease) {
	delete(m.leased, id)
	delete(m.open, id)
	delete(m.busy, l.chain)
	if at, returned := slices.BinarySearch(m.returned, id); returned {
		m.returned = slices.Delete(m.returned, at, at+1)
	}
}

// rewind has the scan of the log look again from an event on.
func (m *memory) rewind(cursor int64) {
	m.cursor = cursor
	for n := len(m.order); n > 0 && m.order[n-1] > cursor; n-- {
		m.order = m.order[:n-1]
	}
	for id, l := range m.open {
		if id > cursor {
			m.drop(id, l)
		}
	}
}

// firstOpen returns the lowest id of an open event, or 0.
func (m *memory) firstOpen() int64 {
	for _, id := range m.order {
		if m.open[id] != nil {
			return id
		}
	}
	return 0
}

// mark returns the low-water mark: up to it, events have a status row or are gone.
func (m *memory) mark() int64 {
	if first := m.firstOpen(); first != 0 {
		return first - 1
	}
	return m.cursor
}

// tidy drops the beginning of order that is no longer open.
func (m *memory) tidy() {
	n := 0
	for n < len(m.order) && m.open[m.order[n]] == nil {
		n++
	}
	m.order = m.order[n:]
}
