package bolt

import (
	"encoding/binary"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// bundle is the records of events that come together, with ids that follow each
// other. They are stored together, under the last id, each with its length behind
// it. Their place is free when none of them is needed any more.
type bundle struct {
	records []byte
	count   int
	last    uint64 // id
}

// A bundle has at most so many records, and so many bytes if it has several.
const (
	maxBundle      = 16
	maxBundleBytes = 8 << 10
)

// putRecord stores the record of a new event.
func (t *txn) putRecord(id uint64, r *queue.Record) {
	b := &t.bundle
	if b.count == maxBundle || id != b.last+1 || len(b.records)+recordSize(r) > maxBundleBytes {
		t.putBundle()
	}
	start := len(b.records)
	b.records = appendRecord(b.records, r, t.now)
	b.records = binary.BigEndian.AppendUint32(b.records, uint32(len(b.records)-start))
	b.count++
	b.last = id
}

// putBundle stores the bundle that is being made.
func (t *txn) putBundle() {
	b := &t.bundle
	if b.count > 0 {
		t.put(t.events, t.id(b.last), func(dst []byte) []byte { return append(dst, b.records...) })
	}
	b.count = 0
	if b.records = b.records[:0]; cap(b.records) > 2*maxBundleBytes {
		b.records = nil
	}
}

// record returns the record of an event, or nil.
func (t *txn) record(id uint64) []byte {
	key, records := t.eventCursor.Seek(t.id(id))
	if key == nil {
		return nil
	}
	for last := lastID(key); last > id && len(records) > 0; last-- {
		_, records = cutRecord(records)
	}
	record, _ := cutRecord(records)
	return record
}

// cutRecord takes the last of some records from them.
func cutRecord(records []byte) (record, rest []byte) {
	end := len(records) - 4
	if end < 0 {
		return nil, nil
	}
	length := int(binary.BigEndian.Uint32(records[end:]))
	if length > end {
		return nil, nil
	}
	return records[end-length : end], records[:end-length]
}

// removeRecord takes note that the record of an event is not needed any more.
func (t *txn) removeRecord(id uint64) {
	key, records := t.eventCursor.Seek(t.id(id))
	if key == nil {
		return
	}
	if last := lastID(key); !t.isNeeded(last, records) {
		t.delete(t.events, t.id(last))
	}
}

// isNeeded reports whether an event of a bundle exists.
func (t *txn) isNeeded(last uint64, records []byte) bool {
	for id := last; len(records) > 0; id-- {
		if t.exists(id) {
			return true
		}
		_, records = cutRecord(records)
	}
	return false
}

// exists reports whether an event is pending or done.
func (t *txn) exists(id uint64) bool {
	return t.has(&t.live, id) || t.pending.Get(t.id(id)) != nil || t.done.Get(t.id(id)) != nil
}
