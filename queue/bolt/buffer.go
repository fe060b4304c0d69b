package bolt

import (
	"bytes"
	"encoding/binary"
	"slices"

	bbolt "go.etcd.io/bbolt"
)

// buffer holds changes of bucketOrder that are not made there yet. Its keys come
// in no order, so that each change would write a page of its own. In the buffer
// most changes undo each other before long, and the others are made sorted, many
// to a page.
//
// At a checkpoint the changes are stored in bucketLog, from which the buffer is
// read again at the next start. It has parts, by the first bits of a hash: one at
// a time is made, so that a checkpoint writes a part of the pages only.
type buffer struct {
	parts   [bufferParts]part
	changes int  // that are in bucketLog, or will be
	turn    byte // part to be made next

	// What was made lately, by part. It is complete since a transaction: who has
	// looked at the file after that one knows what it has now.
	made  [bufferParts][]made
	since int
}

const bufferParts = 16

// maxChanges bounds the buffer: about 5 MB. Tests set it lower.
var maxChanges = 3 << 14

// part is a part of the buffer.
type part struct {
	lines   map[lineKey]waiting
	gone    map[orderKey]struct{} // deleted from bucketOrder
	passed  map[lineKey]uint64    // up to where all of a line is gone; not complete
	changes int
	log     []byte // changes that are not in bucketLog yet
}

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
	b := new(buffer)
	for i := range b.parts {
		b.parts[i] = newPart()
	}
	return b
}

func newPart() part {
	return part{
		lines:  make(map[lineKey]waiting),
		gone:   make(map[orderKey]struct{}),
		passed: make(map[lineKey]uint64),
	}
}

// ofLine returns the number of the part that a line is in.
func ofLine(line lineKey) byte { return line[1] / (256 / bufferParts) }

// loadBuffer reads what is in bucketLog.
func loadBuffer(tx *bbolt.Tx) (*buffer, error) {
	b := newBuffer()
	b.since = tx.ID()
	err := tx.Bucket(bucketLog).ForEach(func(_, changes []byte) error {
		for len(changes) > 0 {
			length := lengths[changes[0]]
			if length == 0 || length > len(changes) {
				return errJournal
			}
			b.note(changes[:length])
			changes = changes[length:]
		}
		return nil
	})
	for i := range b.parts {
		b.parts[i].log = nil // is there already
	}
	return b, err
}

// note takes over a change as it stands in a frame.
func (b *buffer) note(change []byte) {
	b.changes++
	line, position := lineKey(change[1:]), binary.BigEndian.Uint64(change[10:])
	p := &b.parts[ofLine(line)]
	p.note(change)
	if change[0] == codePut {
		p.join(line, place{position, binary.BigEndian.Uint64(change[18:])})
	} else {
		p.quit(line, position)
	}
}

func (p *part) note(change []byte) {
	p.changes++
	p.log = append(p.log, change...)
}

// join adds a place at the end of a line.
func (p *part) join(line lineKey, at place) {
	w, ok := p.lines[line]
	if !ok {
		w.first = at
	} else {
		w.others = append(w.others, at)
	}
	p.lines[line] = w
}

// quit takes a place out of a line.
func (p *part) quit(line lineKey, position uint64) {
	w, ok := p.lines[line]
	switch {
	case ok && w.first.position == position:
		if len(w.others) == 0 {
			delete(p.lines, line)
			return
		}
		w.first, w.others = w.others[0], w.others[1:]
		p.lines[line] = w
		return
	case ok:
		for i := range w.others {
			if w.others[i].position == position {
				w.others = slices.Delete(w.others, i, i+1)
				p.lines[line] = w
				return
			}
		}
	}
	p.gone[line.at(position)] = struct{}{}
}

// has reports whether the buffer has places of a line.
func (b *buffer) has(line lineKey) bool {
	_, ok := b.parts[ofLine(line)].lines[line]
	return ok
}

// head returns the first place of a line. Those in bucketOrder came before those
// in the buffer.
func (b *buffer) head(order *bbolt.Cursor, line lineKey) (place, bool) {
	p := &b.parts[ofLine(line)]
	from := line.at(p.passed[line])
	for key, value := order.Seek(from[:]); bytes.HasPrefix(key, line[:]); key, value = order.Next() {
		if _, gone := p.gone[orderKey(key)]; !gone {
			return place{lastID(key), lastID(value)}, true
		}
		p.passed[line] = lastID(key)
	}
	w, ok := p.lines[line]
	return w.first, ok
}

// store puts the changes that are not in bucketLog yet there.
func (b *buffer) store(tx *bbolt.Tx) error {
	log := tx.Bucket(bucketLog)
	for i := range b.parts {
		p := &b.parts[i]
		if len(p.log) == 0 {
			continue
		}
		number, err := log.NextSequence()
		if err != nil {
			return err
		}
		key := binary.BigEndian.AppendUint64([]byte{byte(i)}, number)
		if err := log.Put(key, p.log); err != nil {
			return err
		}
		p.log = nil // the transaction refers to it
	}
	return nil
}

// due returns the numbers of the parts to flush, so that at most so many changes
// remain. All parts have their turn. They come in the order of their keys: in any
// other, a tree that is still small would have them inserted in its middle.
func (b *buffer) due(most int) (numbers []byte) {
	for left := b.changes; left > most; b.turn = (b.turn + 1) % bufferParts {
		left -= b.parts[b.turn].changes
		numbers = append(numbers, b.turn)
	}
	slices.Sort(numbers)
	return numbers
}

// flush makes the changes of a part in the buckets, and takes them out of
// bucketLog.
func (b *buffer) flush(t *txn, number byte) error {
	p := &b.parts[number]
	if err := p.make(t); err != nil {
		return err
	}
	log := t.tx.Bucket(bucketLog)
	c := log.Cursor()
	for key, _ := c.Seek([]byte{number}); len(key) > 0 && key[0] == number; key, _ = c.Seek([]byte{number}) {
		if err := log.Delete(key); err != nil {
			return err
		}
	}
	b.changes -= p.changes
	b.made[number] = append(b.made[number], made{t.tx.ID(), p.lines})
	*p = newPart()
	return nil
}

// make makes the changes of a part in the buckets.
func (p *part) make(t *txn) error {
	for _, key := range sorted(p.gone, compareKeys) {
		if err := t.order.Delete(key[:]); err != nil {
			return err
		}
	}
	places := make(map[orderKey]uint64, len(p.lines))
	for line, w := range p.lines {
		places[line.at(w.first.position)] = w.first.id
		for _, at := range w.others {
			places[line.at(at.position)] = at.id
		}
	}
	for _, key := range sorted(places, compareKeys) {
		if err := t.order.Put(key[:], number(places[key])); err != nil {
			return err
		}
	}
	return nil
}

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
