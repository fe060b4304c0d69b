// Package queue keeps events until they are delivered. It is the queue without
// Caddy: the contract of stores, and the dispatcher that leases events from a store,
// hands them to a backend, and stores what became of them.
package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Store keeps events from their acceptance until they are forgotten, for one or several
// consumers: each takes the events that are for it at its own pace, and what happens to an
// event for one of them is nothing to the others. Its methods are safe for concurrent use.
// Once a method has returned without an error, what it did is durable: it survives the
// loss of power.
//
// A Store decides which events are due, and keeps those of a sequence in order. It does
// not decide what becomes of an event: the Dispatcher leases what is due, delivers it, and
// settles it with the outcome.
type Store interface {
	// Join tells the store who consumes events from now on. A consumer that is not known
	// yet begins with what is accepted afterwards, unless it says otherwise; one that is
	// goes on where it was. Those that are not named keep what they have.
	Join(ctx context.Context, consumers []Consumer) error

	// Accept stores the events of one delivery: all of them, or none if it
	// returns an error. Duplicates of events that were accepted within
	// admission.Dedupe are left out; duplicates reports which, and is nil if there
	// are none. It returns ErrFull if the delivery would exceed a limit of the
	// admission. The caller may reuse the bodies once Accept has returned.
	Accept(ctx context.Context, records []Record, admission Admission) (duplicates []bool, err error)

	// Lease waits until an event is due for a consumer, and returns up to limit events,
	// as far as possible in the order of their acceptance. A leased event is returned to
	// nobody else until it is settled or the lease is lost: then the context ends that is
	// returned as valid, or the process. Of the events of a sequence (see Order), only the
	// first is ever leased. Requeued events form a sequence of their own, in the order of
	// their requeueing, but no two events of the same sequence are leased at a time.
	//
	// The lanes Live and Retried take turns. Events in Replayed are leased only
	// when no others are due. Nothing is due for a consumer that is paused.
	Lease(ctx context.Context, consumer string, limit int) (events []*Event, valid context.Context, err error)

	// Settle ends a lease with an outcome. If it returns an error, the event is
	// still leased, and the caller can settle it again.
	Settle(ctx context.Context, event *Event, outcome Outcome) error

	// List returns the events that the filter selects, the newest first unless
	// the filter asks for the oldest: an event for each consumer that has it, by name.
	// If the filter has an ID and selects nothing, it may return ErrNotFound.
	List(ctx context.Context, filter Filter) ([]Event, error)

	// Last returns the highest ID that an event was given so far, or 0. It may return a
	// higher number.
	Last(ctx context.Context) (id uint64, err error)

	// Requeue makes the dead and delivered events that the filter selects pending
	// again, in the lane Replayed, one per interval, and makes those due at once
	// that wait for their time to come. What was erased is never pending again. It returns the number of both; events that
	// are leased or due stay as they are. If it fails midway, those already requeued
	// stay so. It ignores the filter's Limit, OldestFirst, Bodies and History.
	Requeue(ctx context.Context, filter Filter, interval time.Duration) (int, error)

	// Discard forgets an event for a consumer, or for all of them if none is named. It
	// returns ErrNotFound if there is no such event, and ErrLeased while it is leased.
	Discard(ctx context.Context, consumer string, id uint64) error

	// Erase erases what the events hold of people that an Erasure selects, as they are when
	// it begins, whatever their state and whoever has them: the body and the signature, the
	// conversation, what applications answered, and the errors that may quote it. The rest
	// of an event stays, so that duplicates and order hold. A pending event becomes Erased
	// at once, also if it is leased: then it is delivered if that was its last attempt, but
	// never tried again. Erase returns how many events there are. Nothing of what it has
	// erased is left in the files of a store, but for what the store says. If it fails
	// midway, what it has erased stays so, and the rest is found by the next one.
	Erase(ctx context.Context, erasure Erasure) (int, error)

	// Pause ends or begins a pause of a consumer. It lasts until it is ended, even if the
	// store is closed meanwhile.
	Pause(ctx context.Context, consumer string, paused bool) error

	// Drop forgets a consumer and all that it has. It returns ErrLeased while an event is
	// leased for it, and ErrElsewhere while another gateway has it.
	Drop(ctx context.Context, consumer string) error

	// Expire forgets some of the events and identities whose retention is over,
	// and reports whether there are more. An event is gone once it is forgotten for all
	// consumers.
	Expire(ctx context.Context, retention Retention) (more bool, err error)

	// Stats returns what the store holds for each consumer, by name. Its cost does not
	// depend on how much that is.
	Stats(ctx context.Context) ([]Stats, error)

	// Close closes the store. Calls under way and later calls of other methods
	// return ErrClosed.
	Close() error
}

// Maintainer is a Store with a file that can be checked, copied and compacted while it
// is in use.
type Maintainer interface {
	// Check returns an error that describes the damage of the file, or nil.
	Check(ctx context.Context) error

	// Backup copies the queue as it is at this moment to a new file. It is an error
	// if there is a file at the path already.
	Backup(ctx context.Context, path string) error

	// Compact returns unused space to the file system, and reports the size of
	// the file in bytes before and after. Nothing is accepted meanwhile.
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

	ErrNoConsumer = errors.New("there is no such consumer")
	ErrElsewhere  = errors.New("the consumer is in the config of another gateway: remove it there first")

	// ErrVersion is returned when a store is opened that a newer version of the program
	// has written.
	ErrVersion = errors.New("the queue is of a newer version")

	// ErrMigration is returned when a store is opened that an older version of the program
	// has written, and that could not be brought to this one. It is as it was before.
	ErrMigration = errors.New("the queue is of an older version, and could not be brought to this one")
)

// RunNewer is what ErrVersion asks of the operator.
const RunNewer = "Nothing is lost: run the program that wrote it, or a newer one"

// DefaultConsumer is the name of the consumer of a queue that names none.
const DefaultConsumer = "default"

// MaxConsumers is how many consumers a store can have, those that have left the config
// among them.
const MaxConsumers = 63

// Consumer is somebody who takes events from a queue.
type Consumer struct {
	Name string

	// Order says which events form a sequence for this consumer. If that is changed, it
	// applies to what is accepted afterwards.
	Order Order

	// FromKept has a new consumer begin with the events that the store holds for others,
	// of the Fields, or of all fields if there are none.
	FromKept bool
	Fields   []string
}

// Order says which events form a sequence: they are delivered one after the other.
type Order string

// The orders.
const (
	ByConversation Order = "conversation"
	ByAccount      Order = "account"
	Unordered      Order = "none"
)

// Of returns the key of the sequence that an event belongs to, or "" if it waits for no
// other. Events with the same key are of the same sequence.
func (o Order) Of(r *Record) string {
	switch o {
	case ByAccount:
		return r.Account
	case Unordered:
		return ""
	}
	return r.Conversation
}

// Record is the part of an event that is stored when it is accepted and never changes.
type Record struct {
	// Identity is the event's identity: the CloudEvents id. A record is a duplicate
	// of one that has its DuplicateKey.
	Identity string

	// NotUnique says that other events may have the same identity. Such an event
	// is never a duplicate.
	NotUnique bool

	// Conversation is what the event is a part of, such as a thread of comments; it is
	// empty if there is no such thing.
	Conversation string

	// For says which consumers of the Admission get the event: bit i stands for the
	// i-th. 0 means all.
	For uint64

	Account string // id of the account that the event belongs to
	Field   string // webhook field, such as "comments"

	// Message is the message that the event is, or is a part of, if it is to be erased when
	// it is taken back; else it is empty. TakesBack says that the event takes it back: Accept
	// erases what was accepted of the message before, because of BecauseTakenBack.
	Message   string
	TakesBack bool

	// URL is the URL that the delivery was sent to: scheme, host, path and query.
	URL string

	// Origin is the sender of the delivery as an encoded Origin. A store does not
	// interpret it.
	Origin string

	// Secret is the name of the app secret that the delivery was signed with,
	// and Signature is the HMAC-SHA256 of Body under it.
	Secret    string
	Signature [32]byte

	// Body is what is delivered: the event's envelope, or the raw bytes of a
	// delivery that could not be taken apart.
	Body []byte
}

// DuplicateKey returns the key by which duplicates are recognised: the identity and
// the name of the app secret. Meta gives events of two apps the same ids, but they
// are different events. The separator cannot occur in an identity.
func (r *Record) DuplicateKey() string { return r.Identity + "\x00" + r.Secret }

// IsFor reports whether the i-th consumer of the Admission gets the event.
func (r *Record) IsFor(i int) bool { return r.For == 0 || r.For>>i&1 == 1 }

// State is where an event stands.
type State string

// The states of an event.
const (
	Pending   State = "pending"   // to be delivered, now or later
	Delivered State = "delivered" // the backend has it
	Dead      State = "dead"      // a dead letter: given up
	Erased    State = "erased"    // it was pending when it was erased: nobody gets it
)

// Lane is the queue that a pending event waits in.
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

	// ID is the number of the event in its store. It is higher than that of every
	// event whose acceptance had returned before this one's began. Size is the
	// length of the body in bytes.
	ID   uint64
	Size int

	// Consumer is who gets the event. What follows is how it stands for this one.
	Consumer string

	State    State
	Lane     Lane // of a pending event
	InFlight bool // leased

	// Accepted is when the event was stored. Requeued is when it was last
	// requeued, or zero.
	Accepted, Requeued time.Time

	// Attempts is the number of attempts since the event was accepted or requeued:
	// those that failed, and the one that delivered it. Tried is when the first of
	// them failed, and LastError is the error of the last one.
	Attempts  int
	Tried     time.Time
	LastError string

	// Due is when a pending event may next be leased; it is zero in the lane Live.
	// Settled is when the event was delivered, became a dead letter, or was Erased.
	Due, Settled time.Time

	// ErasedAt is when the event was erased, and ErasedBecause why. The time is zero if it
	// was not.
	ErasedAt      time.Time
	ErasedBecause string

	// History is the last MaxHistory attempts, the oldest first. An event that was
	// delivered by the first attempt has none, and some may be missing of one that was tried
	// while the disk was full.
	History []Attempt
}

// MaxHistory is how many attempts of an event are kept.
const MaxHistory = 10

// Attempt is an attempt to deliver an event.
type Attempt struct {
	Ended  time.Time
	Took   time.Duration
	Status int    // of the answer, or that a handler failed with; 0: neither
	Error  string // why it failed; empty: it did not
	Answer []byte // the first bytes of the answer's body; nil: not kept
}

// Outcome is the result of an attempt, for the Store.
type Outcome struct {
	// State is the new state of the event. Pending puts it into the lane Retried,
	// or leaves it in Replayed, with one attempt more, until Due.
	State State
	Due   time.Time

	// Attempt is the attempt. Its Error describes why it failed.
	Attempt

	// Released returns the event as if it had never been leased: there was no
	// attempt, or it was cut short. The other fields are ignored, and nothing is
	// written.
	Released bool
}

// Admission says who gets the events of a delivery, and holds the limits that Accept
// enforces.
type Admission struct {
	// Consumers are the names of those who get the events, at most MaxConsumers. If
	// there are none, it is the DefaultConsumer.
	Consumers []string

	// Dedupe is how long duplicates are recognised after an event was accepted. 0
	// turns that off.
	Dedupe time.Duration

	// MaxEvents and MaxBytes limit what may be pending for a consumer after the delivery,
	// in events and in bytes of bodies. 0 means no limit.
	MaxEvents, MaxBytes int64

	// MinFree is how many bytes must stay free where the store keeps its events,
	// if the store knows. 0 means no limit.
	MinFree int64

	// Generation is that of the gateways from whose consumers it was worked out who gets
	// the events. If it is over, Accept returns ErrOutdated. 0 is never over.
	Generation int64
}

// Recipients returns the names of those who get the events.
func (a *Admission) Recipients() []string {
	if len(a.Consumers) == 0 {
		return defaultRecipients
	}
	return a.Consumers
}

var defaultRecipients = []string{DefaultConsumer}

// Filter selects events. A zero field selects all.
type Filter struct {
	ID             uint64
	IDs            []uint64 // only these, in rising order, unless there are none
	Consumer       string
	State          State
	Field, Account string
	Conversation   string
	Error          string    // begins the last error
	Failed         bool      // there is a last error
	Since          time.Time // accepted at this time or later
	After, Before  uint64    // bounds of the ID, exclusive
	Limit          int       // how many events to return; all that have the same ID count as one
	OldestFirst    bool      // by rising ID instead of falling
	Bodies         bool      // include bodies
	History        bool      // include the attempts
}

// Split returns filters that together select what f does, with at most n IDs each.
func (f Filter) Split(n int) (parts []Filter) {
	if len(f.IDs) == 0 {
		return []Filter{f}
	}
	for ids := range slices.Chunk(f.IDs, n) {
		f.IDs = ids
		parts = append(parts, f)
	}
	return parts
}

// Retention is how long events are kept after they were settled, and how long
// identities are kept after acceptance. 0 forgets them at once. Events that are Erased are
// kept as long as those that were delivered.
type Retention struct {
	Delivered, Dead, Dedupe time.Duration
}

// Stats is what a Store holds for a consumer.
type Stats struct {
	Consumer string
	Paused   bool

	Pending      int64 // events, those in flight among them
	PendingBytes int64 // of their bodies
	InFlight     int64
	Dead         int64
	Delivered    int64 // those that are kept

	// Oldest is when the oldest pending event was accepted; it is zero if none
	// is pending.
	Oldest time.Time
}

// StatsOf returns those of a consumer, which are zero if there is none of this name.
func StatsOf(all []Stats, consumer string) Stats {
	for _, stats := range all {
		if stats.Consumer == consumer {
			return stats
		}
	}
	return Stats{Consumer: consumer}
}
