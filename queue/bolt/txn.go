package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	bbolt "go.etcd.io/bbolt"
)

// txn is a transaction of the queue's file, which stays open for many commits and
// ends with a checkpoint. What it holds is the queue as it is now.
//
// What a commit changes is noted in frame, which makes it durable. A failure
// sticks to the transaction, so that only the end of a commit has to check it.
type txn struct {
	tx     *bbolt.Tx
	buffer *buffer
	seen   *seen
	counts counts
	last   uint64 // id of the last event

	events, pending, done, settled, order table
	retried, replayed                     table
	live, ready                           idSet
	tables                                map[byte]table
	eventCursor, orderCursor              *bbolt.Cursor
	changes, bytes                        int  // since the transaction began
	reclaimed                             int  // changes, when pages were reclaimed last
	flushAll                              bool // at the next checkpoint
	starved                               bool // something did not fit

	// These are of a commit.
	now      uint64
	bundle   bundle
	expected int                   // bytes of the frame
	frame    []byte                // see frame.go
	wake     bool                  // an event may have become due
	err      error                 // the first failure
	space    func() (int64, error) // see Store.free

	key [32]byte // room for one key
}

// table is a bucket whose changes are noted, by its code.
type table struct {
	*bbolt.Bucket
	code byte
}

var errDamaged = fmt.Errorf("%w: an event is incomplete", ErrDamaged)

// newTxn returns a transaction that goes on with what a buffer holds, and what is
// known of the identities.
func newTxn(tx *bbolt.Tx, b *buffer, s *seen) (*txn, error) {
	t := &txn{tx: tx, buffer: b, seen: s, tables: make(map[byte]table)}
	if err := t.counts.decode(tx.Bucket(bucketMeta).Get(keyCounts)); err != nil {
		return nil, err
	}
	var live, ready table
	for i, to := range []struct {
		table *table
		name  []byte
	}{
		{&t.events, bucketEvents}, {&t.pending, bucketPending}, {&t.done, bucketDone}, {&t.settled, bucketSettled},
		{&t.order, bucketOrder}, {&live, bucketLive}, {&ready, bucketReady}, {&t.retried, bucketRetried}, {&t.replayed, bucketReplayed},
	} {
		*to.table = table{tx.Bucket(to.name), byte(i)}
		t.tables[byte(i)] = *to.table
	}
	s.bucket = tx.Bucket(bucketSeen)
	t.live, t.ready = newIDSet(live), newIDSet(ready)
	t.last = t.events.Sequence()
	t.eventCursor, t.orderCursor = t.events.Cursor(), t.order.Cursor()
	// Their keys come in order: pages need no room for others in between.
	for _, b := range []table{t.events, live, ready, t.done} {
		b.FillPercent = 0.95
	}
	return t, nil
}

func (t *txn) fail(err error) {
	if err != nil && t.err == nil {
		t.err = err
	}
}

func (t *txn) nextID() uint64 {
	t.last++
	return t.last
}

// id returns a key of one id. It is valid until the next call of a method that
// returns a key.
func (t *txn) id(id uint64) []byte { return binary.BigEndian.AppendUint64(t.key[:0], id) }

// lane returns the bucket of a lane that is not live. An event with this status
// has the key pair(s.due, id) there when nothing holds it back.
func (t *txn) lane(s *status) table {
	if s.lane == codeReplayed {
		return t.replayed
	}
	return t.retried
}

// enter lets an event be leased.
func (t *txn) enter(id uint64, s *status) {
	if s.lane == codeLive {
		t.add(&t.ready, id)
	} else {
		t.put(t.lane(s), pair(s.due, id), nil)
	}
	t.wake = true
}

// isFree reports whether an event can be leased.
func (t *txn) isFree(id uint64, s *status) bool {
	if s.lane == codeLive {
		return t.has(&t.ready, id)
	}
	return t.lane(s).Get(pair(s.due, id)) != nil
}

// leave takes an event from where it can be leased, and reports whether it was
// there.
func (t *txn) leave(id uint64, s *status) bool {
	if s.lane == codeLive {
		return t.remove(&t.ready, id)
	}
	if !t.isFree(id, s) {
		return false
	}
	t.delete(t.lane(s), pair(s.due, id))
	return true
}

// queueUp puts an event behind those in its line. The first may be leased. If the
// file has no places of the line, there is no need to look for them.
func (t *txn) queueUp(id uint64, s *status, line lineKey, inFile bool) {
	waits := t.buffer.has(line)
	if !waits && inFile {
		_, waits = t.buffer.head(t.orderCursor, line)
	}
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
	line := lineOf(s.lane, order)
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

// pendingStatus returns the status of a pending event.
func (t *txn) pendingStatus(id uint64) (status, bool) {
	if t.has(&t.live, id) {
		return liveStatus(id), true
	}
	return decodeStatus(t.pending.Get(t.id(id)))
}

// removePending takes an event from those that are pending.
func (t *txn) removePending(id uint64, s *status) {
	if s.lane == codeLive {
		t.remove(&t.live, id)
	} else {
		t.delete(t.pending, t.id(id))
	}
}

// free returns how many bytes can be written. It is asked for once in a commit.
func (t *txn) free() (int64, error) {
	free, err := t.space()
	t.space = func() (int64, error) { return free, err }
	return free, err
}

// After so many changes the pages that were read are reclaimed. Else more and more
// of a large file would be memory of this process: the system maps 16 pages for
// each that is read.
const (
	reclaimAfter = 640
	largeFile    = 32 << 20
)

func (t *txn) reclaim() {
	if t.changes-t.reclaimed > reclaimAfter && t.tx.Size() > largeFile {
		t.reclaimed = t.changes
		_ = reclaim(t.tx) // nothing but memory is lost
	}
}

// store prepares the end of the transaction: it makes changes of the buffer if
// there are many, and stores what else was only in memory.
func (t *txn) store() error {
	most := maxChanges
	if t.flushAll {
		most = 0
	}
	t.buffer.forget(t.tx.ID())
	for _, number := range t.buffer.due(most) {
		if err := t.buffer.flush(t, number); err != nil {
			return err
		}
	}
	return errors.Join(
		t.seen.store(),
		t.buffer.store(t.tx),
		t.events.SetSequence(t.last),
		t.tx.Bucket(bucketMeta).Put(keyCounts, t.counts.encode()),
	)
}
