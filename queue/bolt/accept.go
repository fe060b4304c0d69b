package bolt

import (
	"context"
	"crypto/sha256"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// acceptance is a delivery on its way into the queue.
type acceptance struct {
	records    []queue.Record
	admission  queue.Admission
	identities []identity
	lines      []lineKey // of those that have an order
	ahead      lookahead
	duplicates []bool // nil: none
	bytes      int64  // of all bodies
	size       int    // of all that is stored, about
}

// settling is how many bytes the file needs for an event to be settled and kept.
const settling = 128

// identity is the hash of what tells an event from others.
type identity [identitySize]byte

const identitySize = 16

func newIdentity(text string) identity {
	sum := sha256.Sum256([]byte(text))
	return identity(sum[:])
}

// accepting is what the frame of a commit has for an event beside its record, at
// most: a length, three keys, two blocks of ids, and two changes of the buffer.
const accepting = 4 + 3*(1+1+8+4) + 2*8 + lengthSeen + lengthPut

func newAcceptance(records []queue.Record, admission queue.Admission) *acceptance {
	a := &acceptance{
		records:    records,
		admission:  admission,
		identities: make([]identity, len(records)),
		lines:      make([]lineKey, len(records)),
	}
	for i := range records {
		r := &records[i]
		a.identities[i] = newIdentity(r.DuplicateKey())
		if r.Order != "" {
			a.lines[i] = lineOf(codeLive, r.Order)
		}
		a.bytes += int64(len(r.Body))
		a.size += recordSize(r) + accepting
	}
	return a
}

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	a := newAcceptance(records, admission)
	s.lookAhead(a)
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
	for i := range a.records {
		if a.duplicates != nil && a.duplicates[i] {
			continue
		}
		r := &a.records[i]
		id := t.nextID()

		t.putRecord(id, r)
		t.add(&t.live, id)
		st := liveStatus(id)
		if r.Order == "" {
			t.enter(id, &st)
		} else {
			t.queueUp(id, &st, a.lines[i], a.ahead.mayWait(t, i, a.lines[i]))
		}
		if a.admission.Dedupe > 0 && !r.NotUnique {
			t.see(a.identities[i])
		}
	}
	t.counts.pending += fresh
	t.counts.bytes += size
	return nil
}

// fits returns an error if so many more events are too many.
func (a *acceptance) fits(t *txn, events, size int64) error {
	if err := a.admission.Pending(t.counts.pending+events, t.counts.bytes+size, t.counts.pending, t.counts.bytes); err != nil {
		return err
	}
	// A failure is left to the commit, which will tell.
	needed := int64(a.size) + pagesFor(a.size) + settling*(t.counts.pending+events) // in the journal, and in the file
	if free, err := t.free(); err == nil {
		if err := a.admission.Space(free, needed); err != nil {
			t.starved = true
			return err
		}
	}
	return nil
}

// wasSeen reports whether an event with an identity was accepted within the window.
func (a *acceptance) wasSeen(t *txn, id identity) bool {
	at := t.seen.at(id)
	return at+uint64(a.admission.Dedupe.Microseconds()) > t.now && at > 0
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
		if a.records[i].NotUnique {
			continue
		}
		id := a.identities[i]
		if !here[id] && !a.wasSeen(t, id) {
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
