package bolt

import (
	"encoding/binary"
	"errors"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// txn is a transaction that changes the queue. A failure sticks to it, so that
// only its end has to be checked.
type txn struct {
	now    uint64
	counts counts
	last   uint64        // id of the last event
	dirty  bool          // something was changed
	wake   bool          // an event may have become due
	err    error         // the first failure
	window time.Duration // for which identities are remembered; 0: not known

	tx                                    *bbolt.Tx
	events, pending, done, settled, order *bbolt.Bucket
	live, retried, replayed, seen         *bbolt.Bucket
	buffer                                *buffer
	log                                   []byte // changes of the buffer
	orderCursor                           *bbolt.Cursor
	generations                           []generation // of seen, the newest first
	key                                   [32]byte     // room for one key
}

var errDamaged = errors.New("the queue is damaged: an event is incomplete")

func newTxn(tx *bbolt.Tx, b *buffer, c counts, now time.Time) *txn {
	t := &txn{
		buffer:   b,
		now:      micros(now),
		counts:   c,
		tx:       tx,
		events:   tx.Bucket(bucketEvents),
		pending:  tx.Bucket(bucketPending),
		done:     tx.Bucket(bucketDone),
		settled:  tx.Bucket(bucketSettled),
		order:    tx.Bucket(bucketOrder),
		live:     tx.Bucket(bucketLive),
		retried:  tx.Bucket(bucketRetried),
		replayed: tx.Bucket(bucketReplayed),
		seen:     tx.Bucket(bucketSeen),
	}
	t.orderCursor = t.order.Cursor()
	// Their keys come in order: pages need no room for others in between.
	for _, b := range []*bbolt.Bucket{t.events, t.pending, t.done, t.live} {
		b.FillPercent = 0.95
	}
	return t
}

func (t *txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// put stores a value, which must not change before the commit. The key may.
func (t *txn) put(b *bbolt.Bucket, key, value []byte) {
	t.dirty = true
	if err := b.Put(key, value); err != nil {
		t.fail(err)
	}
}

func (t *txn) delete(b *bbolt.Bucket, key []byte) {
	t.dirty = true
	if err := b.Delete(key); err != nil {
		t.fail(err)
	}
}

func (t *txn) nextID() uint64 {
	t.dirty = true
	id, err := t.events.NextSequence()
	if err != nil {
		t.fail(err)
	}
	t.last = id
	return id
}

// id returns a key of one id. It is valid until the next call of a method that
// returns a key.
func (t *txn) id(id uint64) []byte { return binary.BigEndian.AppendUint64(t.key[:0], id) }

// laneKey returns the bucket that an event with this status is in when nothing
// holds it back, and its key there.
func (t *txn) laneKey(id uint64, s *status) (*bbolt.Bucket, []byte) {
	switch s.lane {
	case codeRetried:
		return t.retried, pair(s.due, id)
	case codeReplayed:
		return t.replayed, pair(s.due, id)
	default:
		return t.live, t.id(id)
	}
}

// enter lets an event be leased.
func (t *txn) enter(id uint64, s *status) {
	b, key := t.laneKey(id, s)
	t.put(b, key, nil)
	t.wake = true
}

// leave takes an event from where it can be leased, and reports whether it was
// there.
func (t *txn) leave(id uint64, s *status) bool {
	b, key := t.laneKey(id, s)
	if b.Get(key) == nil {
		return false
	}
	t.delete(b, key)
	return true
}

// queueUp puts an event behind those with the same order. The first may be
// leased.
func (t *txn) queueUp(id uint64, s *status, order string) {
	if order == "" {
		t.enter(id, s)
		return
	}
	line := lineOf(s, order)
	_, waits := t.buffer.head(t.orderCursor, line)
	t.join(line, place{s.position, id})
	if !waits {
		t.enter(id, s)
	}
}

// stepOut takes an event out of its lane and its line. The next one may be
// leased then.
func (t *txn) stepOut(id uint64, s *status, order string) {
	first := t.leave(id, s)
	if order == "" {
		return
	}
	line := lineOf(s, order)
	t.quit(line, s.position)
	if !first {
		return
	}
	next, ok := t.buffer.head(t.orderCursor, line)
	if !ok {
		return
	}
	if s, ok := t.pendingStatus(next.id); ok {
		t.enter(next.id, &s)
	} else {
		t.fail(errDamaged)
	}
}

func (t *txn) pendingStatus(id uint64) (status, bool) { return decodeStatus(t.pending.Get(t.id(id))) }

// finish makes the last changes of a transaction.
func (t *txn) finish() {
	t.writeLog()
	t.put(t.tx.Bucket(bucketMeta), keyCounts, t.counts.encode())
}
