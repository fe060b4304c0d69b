// Package live knows what happens in this process just now, and keeps figures of the
// last day: who watches sees each delivery, refusal and attempt as it comes. All of it is
// metadata, nothing that people wrote; all of it is in memory, and bounded; and it goes on
// while configs come and go.
package live

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a kind of event.
type Kind string

// The kinds of events.
const (
	Delivery Kind = "delivery" // an authentic delivery was answered
	Refusal  Kind = "refusal"  // a request was refused
	Attempt  Kind = "attempt"  // an attempt to hand an event to a consumer has ended
)

// Event is something that happened.
type Event struct {
	// Number rises by one with each event of the process.
	Number uint64 `json:"-"`
	Kind   Kind   `json:"-"`

	Time   time.Time `json:"time"`
	Status int       `json:"status,omitempty"` // of the answer; 0: there was none

	// Reason is the kind of a refusal or a failure, and Error what is logged of it. Both
	// are empty if all went well.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`

	// Field is that of the event, or those of a delivery, with spaces between them.
	// Account and Conversation are empty for a delivery with several.
	Field        string `json:"field,omitempty"`
	Account      string `json:"account,omitempty"`
	Conversation string `json:"conversation,omitempty"`

	// These are of an attempt. ID is the event's in the Store. Try is 1 for the first.
	Store    string `json:"store,omitempty"`
	Consumer string `json:"consumer,omitempty"`
	ID       uint64 `json:"id,string,omitempty"`
	Try      int    `json:"attempt,omitempty"`

	Took   float64 `json:"took,omitempty"`   // in seconds
	Events int     `json:"events,omitempty"` // in a delivery

	ClientIP string `json:"client_ip,omitempty"`
}

// Failed reports whether the event is one that an operator should know of.
func (e *Event) Failed() bool {
	return e.Reason != "" || e.Kind == Delivery && e.Status != 200
}

// Feed is what happens. The zero Feed is ready for use.
type Feed struct {
	figures
	refusals refusals

	watchers atomic.Int32 // readers, and those that left a moment ago

	mu      sync.Mutex
	last    uint64  // number of the newest event
	recent  []Event // the newest events, each at its number modulo keptEvents; nil until somebody reads
	readers map[*Reader]bool
}

// Shared is the feed of this process.
var Shared = New()

// New returns a feed that begins now.
func New() *Feed { return &Feed{figures: figures{began: minuteOf(time.Now())}} }

const (
	maxReaders = 16
	keptEvents = 4096

	// linger is how long events are kept for a reader that has left, as all do at a
	// reload of the config.
	linger = 30 * time.Second
)

// Watched reports whether somebody reads. If nobody does, Publish does nothing, and
// events need not be made.
func (f *Feed) Watched() bool { return f.watchers.Load() > 0 }

// Publish hands an event to the readers. It waits for none of them.
func (f *Feed) Publish(e Event) {
	if !f.Watched() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e.Number = f.last
	f.recent[f.last%keptEvents] = e
	for r := range f.readers {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// ErrReaders is returned if there are too many readers.
var ErrReaders = errors.New("16 readers watch already: end one of them")

// Reader reads a Feed.
type Reader struct {
	feed *Feed
	wake chan struct{}
	next uint64 // number of the next event to read
}

// Now is a number that no event has yet.
const Now = math.MaxUint64

// Read returns a reader of what comes after the event with this number, or from now on if
// there is no such event yet, as in a new process. 0 is before the first event. It must be
// closed.
func (f *Feed) Read(after uint64) (*Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) == maxReaders {
		return nil, ErrReaders
	}
	if f.recent == nil {
		f.recent = make([]Event, keptEvents)
		f.readers = make(map[*Reader]bool)
	}
	if after > f.last {
		after = f.last
	}
	r := &Reader{feed: f, wake: make(chan struct{}, 1), next: after + 1}
	r.wake <- struct{}{}
	f.readers[r] = true
	f.watchers.Add(1)
	return r, nil
}

// Wake returns a channel that has a value when there may be events to take.
func (r *Reader) Wake() <-chan struct{} { return r.wake }

// Take returns events that have come, at most as many as batch has room for, how many
// before them were missed because the reader was slow, and the number of the last event
// that was taken or missed.
func (r *Reader) Take(batch []Event) (n int, missed, last uint64) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if oldest := max(f.last, keptEvents) - keptEvents + 1; r.next < oldest {
		missed = oldest - r.next
		r.next = oldest
	}
	for ; n < len(batch) && r.next <= f.last; n++ {
		batch[n] = f.recent[r.next%keptEvents]
		r.next++
	}
	return n, missed, r.next - 1
}

// Close ends the reading.
func (r *Reader) Close() {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers[r] {
		delete(f.readers, r)
		time.AfterFunc(linger, func() { f.watchers.Add(-1) })
	}
}
