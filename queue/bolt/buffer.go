package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	bbolt "go.etcd.io/bbolt"
)

// buffer holds changes of bucketOrder and bucketSeen that are not made there
// yet. The keys of these buckets come in no order, so that each change would
// write a page of its own. In the buffer most changes of bucketOrder undo each
// other before long, and the others are made sorted, many to a page.
//
// The changes of a transaction are stored with it in bucketLog, from which the
// buffer is read again after a crash. Only the one who commits uses it.
type buffer struct {
	seen    map[identity]uint64
	lines   map[lineKey]waiting
	gone    map[orderKey]struct{} // deleted from bucketOrder
	passed  map[lineKey]uint64    // up to where all of a line is gone; not complete
	changes int                   // in bucketLog
}

// maxChanges bounds the buffer: about 15 MB. Tests set it lower.
var maxChanges = 1 << 17

// lineKey stands for events that wait for each other.
type lineKey [9]byte

// orderKey is a key of bucketOrder: a lineKey and a position.
type orderKey [17]byte

func (k lineKey) at(position uint64) (key orderKey) {
	copy(key[:], k[:])
	binary.BigEndian.PutUint64(key[9:], position)
	return key
}

// place is an event in a line.
type place struct{ position, id uint64 }

// waiting is a line: its first place, and the others. Most lines have one.
type waiting struct {
	first  place
	others []place
}

func newBuffer() *buffer {
	return &buffer{
		seen:  make(map[identity]uint64),
		lines: make(map[lineKey]waiting),
		gone:  make(map[orderKey]struct{}),

		passed: make(map[lineKey]uint64),
	}
}

// The codes of changes in bucketLog. Each has a fixed length.
const (
	codeSeen = 's' // identity, time
	codePut  = 'p' // order key, id
	codeGone = 'g' // order key

	lengthSeen = 1 + 16 + 8
	lengthPut  = 1 + 17 + 8
	lengthGone = 1 + 17
)

var errLog = errors.New("the log of the queue is damaged")

// loadBuffer reads what is in bucketLog.
func loadBuffer(tx *bbolt.Tx) (*buffer, error) {
	b := newBuffer()
	err := tx.Bucket(bucketLog).ForEach(func(_, changes []byte) error {
		for len(changes) > 0 {
			length := map[byte]int{codeSeen: lengthSeen, codePut: lengthPut, codeGone: lengthGone}[changes[0]]
			if length == 0 || length > len(changes) {
				return errLog
			}
			change := changes[1:length]
			switch changes[0] {
			case codeSeen:
				b.see(identity(change), binary.BigEndian.Uint64(change[16:]))
			case codePut:
				b.put(lineKey(change), place{binary.BigEndian.Uint64(change[9:]), binary.BigEndian.Uint64(change[17:])})
			case codeGone:
				b.delete(lineKey(change), binary.BigEndian.Uint64(change[9:]))
			}
			changes = changes[length:]
		}
		return nil
	})
	return b, err
}

func (b *buffer) see(id identity, at uint64) {
	b.seen[id] = at
	b.changes++
}

// put adds a place at the end of a line.
func (b *buffer) put(line lineKey, p place) {
	b.changes++
	w, ok := b.lines[line]
	if !ok {
		w.first = p
	} else {
		w.others = append(w.others, p)
	}
	b.lines[line] = w
}

// delete takes a place out of a line.
func (b *buffer) delete(line lineKey, position uint64) {
	b.changes++
	w, ok := b.lines[line]
	switch {
	case ok && w.first.position == position:
		if len(w.others) == 0 {
			delete(b.lines, line)
			return
		}
		w.first, w.others = w.others[0], w.others[1:]
		b.lines[line] = w
		return
	case ok:
		for i := range w.others {
			if w.others[i].position == position {
				w.others = slices.Delete(w.others, i, i+1)
				b.lines[line] = w
				return
			}
		}
	}
	b.gone[line.at(position)] = struct{}{}
}

// head returns the first place of a line. Those in bucketOrder came before those
// in the buffer.
func (b *buffer) head(order *bbolt.Cursor, line lineKey) (place, bool) {
	from := line.at(b.passed[line])
	for key, value := order.Seek(from[:]); bytes.HasPrefix(key, line[:]); key, value = order.Next() {
		if _, gone := b.gone[orderKey(key)]; !gone {
			return place{lastID(key), lastID(value)}, true
		}
		b.passed[line] = lastID(key)
	}
	w, ok := b.lines[line]
	return w.first, ok
}

// see remembers an identity.
func (t *txn) see(id identity) {
	t.buffer.see(id, t.now)
	t.log = append(append(t.log, codeSeen), id[:]...)
	t.log = binary.BigEndian.AppendUint64(t.log, t.now)
	t.dirty = true
}

// join adds an event at the end of a line.
func (t *txn) join(line lineKey, p place) {
	t.buffer.put(line, p)
	key := line.at(p.position)
	t.log = append(append(t.log, codePut), key[:]...)
	t.log = binary.BigEndian.AppendUint64(t.log, p.id)
	t.dirty = true
}

// quit takes an event out of a line.
func (t *txn) quit(line lineKey, position uint64) {
	t.buffer.delete(line, position)
	key := line.at(position)
	t.log = append(append(t.log, codeGone), key[:]...)
	t.dirty = true
}

// writeLog stores the changes of this transaction, or, if there are many since
// the last time, makes all.
func (t *txn) writeLog() {
	switch {
	case t.buffer.changes > maxChanges:
		t.flush()
	case len(t.log) > 0:
		log := t.tx.Bucket(bucketLog)
		number, err := log.NextSequence()
		if err != nil {
			t.fail(err)
		}
		t.put(log, t.id(number), t.log)
	}
}

// flush makes the changes in the buckets and empties the log. The buffer must
// be read again if the transaction fails.
func (t *txn) flush() {
	b := t.buffer
	for _, key := range sorted(b.gone, compareKeys) {
		t.delete(t.order, key[:])
	}
	places := make(map[orderKey]uint64, len(b.lines))
	for line, w := range b.lines {
		places[line.at(w.first.position)] = w.first.id
		for _, p := range w.others {
			places[line.at(p.position)] = p.id
		}
	}
	for _, key := range sorted(places, compareKeys) {
		t.put(t.order, key[:], number(places[key]))
	}
	if len(b.seen) > 0 {
		generation := t.generation()
		for _, id := range sorted(b.seen, compareIdentities) {
			t.put(generation, id[:], number(b.seen[id]))
		}
	}
	if err := t.tx.DeleteBucket(bucketLog); err != nil {
		t.fail(err)
	}
	if _, err := t.tx.CreateBucket(bucketLog); err != nil {
		t.fail(err)
	}
	*b = *newBuffer()
	t.log = nil
}

func compareIdentities(a, b identity) int { return bytes.Compare(a[:], b[:]) }

func compareKeys(a, b orderKey) int { return bytes.Compare(a[:], b[:]) }

// sorted returns the keys of m in order.
func sorted[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compare)
	return keys
}
