package sqlite

import (
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// consumer is what a store knows of a consumer without the file: what it has leased, and
// how far it has looked. After a crash nothing is leased, as nobody delivers any more, and
// it looks again from the mark on.
//
// It is bounded by what is leased: an event that has to wait for another one of its
// sequence has a status row instead of a place here.
type consumer struct {
	id     int64
	name   string // "": dropped
	paused bool
	orders []order // the oldest first

	keptUntil  int64
	keptFields string // as in the file

	progress
	saved   progress // what it was when the transaction began
	written progress // what it is in the file
	marked  int64    // the mark in the file

	open     map[int64]*lease // without a status row: leased or returned
	sequence []int64          // ids of these, and of some that no longer are; rising
	returned []int64          // open, but not leased any more: to be offered first; rising

	leased map[int64]*lease
	busy   map[int64]*lease // the one of a chain that is leased or returned
	turn   int              // of the lanes
	wake   chan struct{}    // closed when an event may have become due
	woken  bool             // it is to be closed once the transaction is committed
}

// progress is what a transaction that fails takes back.
type progress struct {
	counts counts
	rows   int64 // pending events that have a status row

	// cursor is the last event that was looked at. Those up to it have a status row,
	// are open, or are nothing to the consumer.
	cursor int64
}

// counts is how many events there are, and the bytes of the bodies of pending ones.
type counts struct{ pending, bytes, dead, delivered int64 }

// order is which events form a sequence, from the one after since on.
type order struct {
	since int64
	kind  queue.Order
}

// lease is what is to be known of an event to settle it.
type lease struct {
	chain    int64 // as in its status row
	open     bool  // it has no status row
	lane     int
	attempts int64
	tried    int64
	size     int64
	erased   bool // its status row says so: it is leased, but holds no place in its chain
}

func newConsumer(id int64, name string) *consumer {
	return &consumer{
		id:     id,
		name:   name,
		open:   make(map[int64]*lease),
		leased: make(map[int64]*lease),
		busy:   make(map[int64]*lease),
		wake:   make(chan struct{}),
	}
}

// count counts n more events of a size in a state.
func (c *counts) count(state int, n, size int64) {
	switch state {
	case statePending:
		c.pending += n
		c.bytes += n * size
	case stateDelivered:
		c.delivered += n
	case stateDead:
		c.dead += n
	}
}

// bit is the consumer's in the column consumers.
func (c *consumer) bit() int64 { return 1 << uint64(c.id-1) }

// wants reports whether an event to which nothing has happened is for the consumer.
func (c *consumer) wants(id, consumers int64, field string, erased bool) bool {
	if id <= c.keptUntil {
		return !erased && (c.keptFields == "" || strings.Contains(c.keptFields, " "+field+" "))
	}
	return consumers&c.bit() != 0
}

// chainOf returns the chain of an event.
func (c *consumer) chainOf(id int64, conversation, account string) int64 {
	kind := c.orders[0].kind
	for _, o := range slices.Backward(c.orders) {
		if id > o.since {
			kind = o.kind
			break
		}
	}
	return chainOf(kind.Of(&queue.Record{Conversation: conversation, Account: account}))
}

// notify wakes those that wait for due events.
func (c *consumer) notify() {
	c.woken = false
	close(c.wake)
	c.wake = make(chan struct{})
}

// isBusy reports whether a chain has an event that is leased or returned.
func (c *consumer) isBusy(chain int64) bool {
	return c.busy[chain] != nil
}

// isBlocked reports whether an event of a chain, in this or in the other lanes, is
// leased. The events of one sequence have a chain, and when replayed, its negative.
func (c *consumer) isBlocked(chain int64) bool {
	return chain != 0 && (c.isBusy(chain) || c.isBusy(-chain))
}

// begin begins a lease.
func (c *consumer) begin(id int64, l *lease) {
	c.leased[id] = l
	if l.chain != 0 {
		c.busy[l.chain] = l
	}
	if l.open {
		c.open[id] = l
	}
	c.unreturn(id)
}

func (c *consumer) unreturn(id int64) {
	if at, returned := slices.BinarySearch(c.returned, id); returned {
		c.returned = slices.Delete(c.returned, at, at+1)
	}
}

// giveBack ends a lease as if it had never begun. An event without a status row keeps
// its chain, so that none of its followers comes first.
func (c *consumer) giveBack(id int64) {
	l := c.leased[id]
	if l == nil {
		return
	}
	delete(c.leased, id)
	if !l.open {
		c.free(l)
		return
	}
	at, _ := slices.BinarySearch(c.returned, id)
	c.returned = slices.Insert(c.returned, at, id)
}

// drop forgets an event that is leased or returned, as it has got a status row or is
// gone.
func (c *consumer) drop(id int64, l *lease) {
	delete(c.leased, id)
	delete(c.open, id)
	c.free(l)
	c.unreturn(id)
}

// free frees the chain of a lease, unless it is that of another one by now: of an event
// whose settling was taken back.
func (c *consumer) free(l *lease) {
	if c.busy[l.chain] == l {
		delete(c.busy, l.chain)
	}
}

// rewind has the scan of the log look again from an event on.
func (c *consumer) rewind(cursor int64) {
	for n := len(c.sequence); n > 0 && c.sequence[n-1] > cursor; n-- {
		c.sequence = c.sequence[:n-1]
	}
	for id, l := range c.open {
		if id > cursor {
			c.drop(id, l)
		}
	}
}

// firstOpen returns the lowest id of an open event, or 0.
func (c *consumer) firstOpen() int64 {
	for _, id := range c.sequence {
		if c.open[id] != nil {
			return id
		}
	}
	return 0
}

// mark returns the low-water mark: up to it, events have a status row or are nothing to
// the consumer.
func (c *consumer) mark() int64 {
	if first := c.firstOpen(); first != 0 {
		return first - 1
	}
	return c.cursor
}

// tidy drops the beginning of sequence that is no longer open.
func (c *consumer) tidy() {
	n := 0
	for n < len(c.sequence) && c.open[c.sequence[n]] == nil {
		n++
	}
	c.sequence = c.sequence[n:]
}
