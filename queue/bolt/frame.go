package bolt

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// A frame is what one commit changes: room for the head of the journal's frame,
// the counts and the last id after the commit, and the changes: a code each, and
// what belongs to it.
const (
	frameCounts  = frameHead
	frameLast    = frameCounts + sizeCounts
	frameChanges = frameLast + 8
)

// The codes of changes. Each table has two of its own: its code for a value, and
// with codeDelete for one that is deleted.
const (
	codeDelete = 0x20 // length of the key, key
	codeSeen   = 's'  // identity, time
	codePut    = 'p'  // order key, id
	codeGone   = 'g'  // order key
	codeForget = 'f'  // number of a run of identities
)

const (
	lengthSeen   = 1 + 16 + 8
	lengthPut    = 1 + 17 + 8
	lengthGone   = 1 + 17
	lengthForget = 1 + 8
)

// lengths holds the length of each change that has always the same.
var lengths = [256]int{codeSeen: lengthSeen, codePut: lengthPut, codeGone: lengthGone, codeForget: lengthForget}

// begin begins a commit, whose frame will have about so many bytes.
func (t *txn) begin(now time.Time, bytes int, space func() (int64, error)) {
	t.now, t.space, t.expected = micros(now), space, bytes
	t.frame, t.wake, t.err = nil, false, nil
}

// note appends a change to the frame, from its code on.
func (t *txn) note(code byte, key []byte) {
	if t.frame == nil {
		t.frame = make([]byte, frameChanges, frameChanges+max(t.expected, 256))
	}
	t.changes++
	t.frame = append(append(t.frame, code), key...)
}

// put stores a value, which append appends.
func (t *txn) put(b table, key []byte, value func([]byte) []byte) {
	t.note(b.code, nil)
	t.frame = append(append(t.frame, byte(len(key))), key...)
	t.frame = append(t.frame, 0, 0, 0, 0)
	start := len(t.frame)
	if value != nil {
		t.frame = value(t.frame)
	}
	binary.BigEndian.PutUint32(t.frame[start-4:], uint32(len(t.frame)-start))
	// The transaction refers to it until the checkpoint.
	t.fail(b.Put(key, t.frame[start:len(t.frame):len(t.frame)]))
}

func (t *txn) delete(b table, key []byte) {
	t.note(b.code|codeDelete, nil)
	t.frame = append(append(t.frame, byte(len(key))), key...)
	t.fail(b.Delete(key))
}

// see remembers an identity.
func (t *txn) see(id identity) {
	t.note(codeSeen, id[:])
	t.frame = binary.BigEndian.AppendUint64(t.frame, t.now)
	t.seen.recent[id] = t.now
}

// join adds an event at the end of a line.
func (t *txn) join(line lineKey, p place) {
	key := line.at(p.position)
	t.note(codePut, key[:])
	t.frame = binary.BigEndian.AppendUint64(t.frame, p.id)
	t.buffer.note(t.frame[len(t.frame)-lengthPut:])
}

// quit takes an event out of a line.
func (t *txn) quit(line lineKey, position uint64) {
	key := line.at(position)
	t.note(codeGone, key[:])
	t.buffer.note(t.frame[len(t.frame)-lengthGone:])
}

// forget forgets a run of identities.
func (t *txn) forget(run uint64) {
	key := t.id(run)
	t.note(codeForget, key)
	t.fail(t.seen.bucket.DeleteBucket(key))
}

// finish ends a commit and returns its frame, or nil if nothing was changed.
func (t *txn) finish() ([]byte, error) {
	t.putBundle()
	t.save(&t.live)
	t.save(&t.ready)
	if t.frame == nil || t.err != nil {
		return nil, t.err
	}
	if uint64(len(t.frame)) > math.MaxUint32 { // the journal has 4 bytes for it
		return nil, errors.New("too much to be stored at a time")
	}
	copy(t.frame[frameCounts:], t.counts.encode())
	binary.BigEndian.PutUint64(t.frame[frameLast:], t.last)
	t.bytes += len(t.frame)
	return t.frame, nil
}

// replay makes the changes of a frame again, whose content this is.
func (t *txn) replay(content []byte) error {
	const head = frameChanges - frameHead
	if len(content) < head {
		return errJournal
	}
	if err := t.counts.decode(content[:sizeCounts]); err != nil {
		return err
	}
	t.last = binary.BigEndian.Uint64(content[sizeCounts:])
	t.bytes += len(content)
	for rest := content[head:]; len(rest) > 0; t.changes++ {
		n, err := t.redo(rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// redo makes the first of some changes, and returns its length.
func (t *txn) redo(changes []byte) (n int, err error) {
	code := changes[0]
	if length := lengths[code]; length > 0 {
		if len(changes) < length {
			return 0, errJournal
		}
		switch code {
		case codeSeen:
			t.seen.recent[identity(changes[1:])] = binary.BigEndian.Uint64(changes[17:])
		case codeForget:
			return length, t.seen.bucket.DeleteBucket(changes[1:length])
		default:
			t.buffer.note(changes[:length])
		}
		return length, nil
	}
	b, ok := t.tables[code&^codeDelete]
	if !ok || len(changes) < 2 {
		return 0, errJournal
	}
	n = 2 + int(changes[1])
	if code&codeDelete != 0 {
		if len(changes) < n {
			return 0, errJournal
		}
		return n, b.Delete(changes[2:n])
	}
	if len(changes) < n+4 {
		return 0, errJournal
	}
	key := changes[2:n]
	length := int(binary.BigEndian.Uint32(changes[n:]))
	n += 4
	if len(changes)-n < length {
		return 0, errJournal
	}
	return n + length, b.Put(key, changes[n:n+length:n+length])
}
