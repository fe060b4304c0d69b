// Package queue keeps events until they are delivered. It is the queue without
// Caddy: the contract of stores, and the dispatcher that leases events from a store,
// hands them to a backend, and stores what became of them.
package queue

import (
	"context"
	"errors"
	"time"
)

// Store keeps events from their acceptance until they are forgotten. It can be
// used from many goroutines. What a method has returned for without an error
// is durable: it survives the loss of power.
//
// A Store knows when an event is due, and which events must not overtake each
// other. It does not know what becomes of an event: the dispatcher leases what
// is due, delivers it, and settles how that went.
type Store interface {
	// Accept stores the events of one delivery: all, or, when it returns an
	// error, none. Those that were accepted before, within the time that the
	// admission says, are left out; duplicates reports which, or is nil if
	// there are none. It returns ErrFull when a limit of the admission is
	// reached. Bodies may change once Accept has returned.
	Accept(ctx context.Context, records []Record, admission Admission) (duplicates []bool, err error)

	// Lease returns events that are due, at most limit, in the order of their
	// acceptance as far as possible, and waits until there is one. A leased
	// event is returned to nobody else until it is settled or the process
	// ends. Of events with the same Order, only the first is ever leased.
	//
	// Events in the Live and Retried lanes take turns; those in Replayed come
	// when no others are due.
	Lease(ctx context.Context, limit int) ([]*Event, error)

	// Settle ends a lease. After an error the event is still leased, and
	// Settle can be called again.
	Settle(ctx context.Context, event *Event, outcome Outcome) error

	// List returns the events that the filter selects, the newest first unless
	// the filter asks for the oldest, with their bodies if it asks for them.
	List(ctx context.Context, filter Filter) ([]Event, error)

	// Requeue makes the dead and the delivered events that the filter selects
	// pending again, in the lane Replayed, one each interval, and those that
	// wait for another attempt due at once. It returns how many there were.
	// Those before an error stay requeued. Limit, OldestFirst and Bodies do
	// not count.
	Requeue(ctx context.Context, filter Filter, interval time.Duration) (int, error)

	// Discard forgets an event. It returns ErrNotFound when there is none with
	// this ID, and ErrLeased while it is leased.
	Discard(ctx context.Context, id uint64) error

	// Expire forgets some of what is no longer to be kept, and reports whether
	// there is more of it.
	Expire(ctx context.Context, retention Retention) (more bool, err error)

	// Stats returns what the store holds. It takes the same time however much
	// that is.
	Stats(ctx context.Context) (Stats, error)

	// Close ends the store. Calls of other methods under way and later ones
	// return ErrClosed.
	Close() error
}

// Maintainer is a Store whose file can be looked after while it is in use.
type Maintainer interface {
	// Check returns an error that says what is wrong with the file, or nil.
	Check(ctx context.Context) error

	// Compact gives the space that is no longer used back to the file system,
	// and returns the size of the file in bytes before and after. Meanwhile
	// nothing is accepted.
	Compact(ctx context.Context) (before, after int64, err error)
}

// SpaceTeller is a Store that knows how much room it has.
type SpaceTeller interface {
	// Free returns how many bytes could be accepted, as Accept would find them.
	Free(ctx context.Context) (int64, error)
}

// These errors are returned by a Store, perhaps wrapped.
var (
	ErrFull     = errors.New("the queue is full")
	ErrClosed   = errors.New("the store is closed")
	ErrNotFound = errors.New("there is no such event")
	ErrLeased   = errors.New("the event is being delivered just now")
)

// Record is what is stored of an event when it is accepted. It never changes.
type Record struct {
	// Identity is the event's identity: the CloudEvents id. A record is a duplicate
	// of one that has its DuplicateKey.
	Identity string

	// NotUnique says that other events may have the same identity. Such an event
	// is never a duplicate.
	NotUnique bool

	// Order is a key that events have in common which must not overtake each
	// other. It is empty for one that may overtake all.
	Order string

	Account string // id of the account that the event belongs to
	Field   string // webhook field, such as "comments"

	// URL is where the delivery went to: scheme, host, path and query.
	URL string

	// Origin is who delivered, and what the proxies in front said of that, in a
	// form that a store need not understand. It is empty for events that were
	// accepted before it was kept.
	Origin string

	// Secret is the name of the app secret that the delivery was signed with,
	// and Signature is the HMAC-SHA256 of Body under it.
	Secret    string
	Signature [32]byte

	// Body is what is delivered: the event's envelope, or the raw bytes of a
	// delivery that could not be taken apart.
	Body []byte
}

// DuplicateKey returns what tells the event from all others: its identity and the
// name of the app secret. The event of another app is another event, although Meta
// gives it the same ids. No identity holds the character between the two.
func (r *Record) DuplicateKey() string { return r.Identity + "\x00" + r.Secret }

// State is where an event stands.
type State string

// The states of an event.
const (
	Pending   State = "pending"   // to be delivered, now or later
	Delivered State = "delivered" // the backend has it
	Dead      State = "dead"      // a dead letter: given up
)

// Lane is the way by which a pending event comes to be leased.
type Lane string

// The lanes of pending events.
const (
	Live     Lane = "live"     // no attempt has failed yet
	Retried  Lane = "retried"  // waits for another attempt
	Replayed Lane = "replayed" // was requeued
)

// Event is an event in a Store.
type Event struct {
	Record

	// ID is the number by which the store knows the event. An event that was
	// accepted later has a higher one. Size is that of its body in bytes.
	ID   uint64
	Size int

	State    State
	Lane     Lane // of a pending event
	InFlight bool // leased

	// Accepted is when the event was stored, and Requeued when it was last
	// made pending again; it is zero if it never was.
	Accepted, Requeued time.Time

	// Attempts is how many attempts there were since it was accepted or
	// requeued: those that failed, and the one that delivered it. Tried is when
	// the first of them failed, if the event was to be tried again, and
	// LastError says how the last one did.
	Attempts  int
	Tried     time.Time
	LastError string

	// Due is when a pending event may next be leased, and Settled when it was
	// delivered or declared dead.
	Due, Settled time.Time
}

// Outcome is how an attempt ended.
type Outcome struct {
	// State is what becomes of the event. A Pending one goes back to the lane
	// Retried, or stays in Replayed, with an attempt more, until Due.
	State State
	Due   time.Time

	// Ended is when an attempt ended that is not the last.
	Ended time.Time

	// Error says why the attempt failed.
	Error string

	// Released gives the event back as if it had never been leased: there was
	// no attempt, or it was cut short. Nothing else counts then, and nothing
	// is written.
	Released bool
}

// Admission is what Accept is to look at.
type Admission struct {
	// Dedupe is for how long events are recognised after they were accepted; 0
	// is not at all.
	Dedupe time.Duration

	// MaxEvents and MaxBytes are how much may be pending after the delivery,
	// in events and in bytes of bodies; 0 is any amount.
	MaxEvents, MaxBytes int64

	// MinFree is how many bytes must stay free where the store keeps its
	// events, as far as it knows; 0 is any amount.
	MinFree int64
}

// Filter selects events. An empty part selects all.
type Filter struct {
	ID             uint64
	State          State
	Field, Account string
	Since          time.Time // accepted then or later
	After, Before  uint64    // a higher and a lower ID than these
	Limit          int       // at most so many
	OldestFirst    bool      // not the newest
	Bodies         bool      // with their bodies
}

// Retention is how long events are kept after they were settled, and how long
// identities after they were accepted. At 0 they are forgotten at once.
type Retention struct {
	Delivered, Dead, Dedupe time.Duration
}

// Stats is what a Store holds.
type Stats struct {
	Pending      int64 // events, those in flight among them
	PendingBytes int64 // of their bodies
	InFlight     int64
	Dead         int64
	Delivered    int64 // those that are kept

	// Oldest is when the oldest pending event was accepted; it is zero if none
	// is pending.
	Oldest time.Time
}
