package bolt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/caddy-instagram/webhooks/queue"
)

// acceptance is a delivery on its way into the queue.
type acceptance struct {
	records    []queue.Record
	admission  queue.Admission
	identities []identity
	duplicates []bool // nil: none
	bytes      int64  // of all bodies
	size       int    // of all that is stored, about
}

type identity [16]byte

// accepting is what the frame of a commit has for an event beside its record and
// status: three keys, and two changes of the buffer.
const accepting = 3*(1+1+8+4) + lengthSeen + lengthPut

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	a := &acceptance{
		records:    records,
		admission:  admission,
		identities: make([]identity, len(records)),
	}
	for i := range records {
		r := &records[i]
		sum := sha256.Sum256([]byte(r.Identity))
		copy(a.identities[i][:], sum[:])
		a.bytes += int64(len(r.Body))
		a.size += recordSize(r) + statusFixed + accepting
	}
	if err := s.do(ctx, &operation{apply: a.apply, size: a.size}); err != nil {
		return nil, err
	}
	return a.duplicates, nil
}

func (a *acceptance) apply(t *txn) error {
	fresh, size := a.recognise(t)
	if fresh == 0 {
		return nil
	}
	if err := a.fits(t, fresh, size); err != nil {
		return err
	}
	t.window = a.admission.Dedupe
	for i := range a.records {
		if a.duplicates != nil && a.duplicates[i] {
			continue
		}
		r := &a.records[i]
		id := t.nextID()

		t.put(t.events, t.id(id), func(dst []byte) []byte { return appendRecord(dst, r, t.now) })
		st := status{state: codePending, lane: codeLive, position: id}
		t.put(t.pending, t.id(id), st.append)
		t.queueUp(id, &st, r.Order)
		if a.admission.Dedupe > 0 && !r.Recurring {
			t.see(a.identities[i])
		}
	}
	t.counts.pending += fresh
	t.counts.bytes += size
	return nil
}

// fits returns an error if so many more events are too many.
func (a *acceptance) fits(t *txn, events, size int64) error {
	limits := &a.admission
	if limits.MaxEvents > 0 && t.counts.pending+events > limits.MaxEvents {
		return fmt.Errorf("%w: %d events are pending, the limit is %d", queue.ErrFull, t.counts.pending, limits.MaxEvents)
	}
	if limits.MaxBytes > 0 && t.counts.bytes+size > limits.MaxBytes {
		return fmt.Errorf("%w: %d bytes are pending, the limit is %d", queue.ErrFull, t.counts.bytes, limits.MaxBytes)
	}
	// A failure is left to the commit, which will tell.
	needed := int64(a.size) + pagesFor(a.size) // in the journal, and in the file
	if free, err := t.free(); err == nil && free-needed < limits.MinFree {
		t.starved = true
		return fmt.Errorf("%w: %d bytes are free in it and on its disk, the delivery needs %d, and %d must remain", queue.ErrFull, free, needed, limits.MinFree)
	}
	return nil
}

// recognise finds the duplicates, and returns how many events are none and the
// size of their bodies.
func (a *acceptance) recognise(t *txn) (fresh, size int64) {
	fresh, size = int64(len(a.records)), a.bytes
	if a.admission.Dedupe <= 0 {
		return fresh, size
	}
	var here map[identity]bool // in this delivery
	if len(a.records) > 1 {
		here = make(map[identity]bool, len(a.records))
	}
	for i := range a.records {
		if a.records[i].Recurring {
			continue
		}
		id := a.identities[i]
		if !here[id] && !t.wasSeen(id, a.admission.Dedupe) {
			if here != nil {
				here[id] = true
			}
			continue
		}
		if a.duplicates == nil {
			a.duplicates = make([]bool, len(a.records))
		}
		a.duplicates[i] = true
		fresh--
		size -= int64(len(a.records[i].Body))
	}
	return fresh, size
}

// Identities are forgotten by the bucket: each of a few holds those of a part of
// the time, so that there is no need to look for old ones.
const parts = 4

// generation is a bucket of identities.
type generation struct {
	*bbolt.Bucket
	start uint64
}

// loadSeen lists the generations.
func (t *txn) loadSeen() {
	if t.generations != nil {
		return
	}
	c := t.seen.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		t.generations = append(t.generations, generation{t.seen.Bucket(key), lastID(key)})
	}
	slices.Reverse(t.generations)
}

// wasSeen reports whether an event with this identity was accepted within the
// window.
func (t *txn) wasSeen(id identity, window time.Duration) bool {
	recent := func(at uint64) bool { return at+uint64(window.Microseconds()) > t.now }
	if at, ok := t.buffer.seenAt(id); ok {
		return recent(at)
	}
	t.loadSeen()
	for _, g := range t.generations {
		if at := g.Get(id[:]); len(at) == 8 && recent(binary.BigEndian.Uint64(at)) {
			return true
		}
	}
	return false
}

// generation returns the bucket that identities are stored in now.
func (t *txn) generation() (*bbolt.Bucket, error) {
	t.loadSeen()
	if len(t.generations) > 0 {
		newest := t.generations[0]
		if t.window == 0 || newest.start+uint64(t.window.Microseconds())/parts > t.now {
			return newest.Bucket, nil
		}
	}
	b, err := t.seen.CreateBucketIfNotExists(number(t.now))
	if err != nil {
		return nil, err
	}
	t.generations = append([]generation{{b, t.now}}, t.generations...)
	return b, nil
}
