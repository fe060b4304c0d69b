package sqlite

import (
	"context"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// acceptance is a delivery on its way into the queue.
type acceptance struct {
	records    []queue.Record
	admission  queue.Admission
	identities []identity // those by which duplicates are recognised, sorted
	consumers  []*consumer
	more       []counts // what there is more for each of them
	duplicates []bool   // nil: none
	size       int64    // of all that is stored, about
}

const (
	pageSize = 4096

	// settling is how many bytes the file needs for an event to be settled and kept.
	settling = 128
	// accepting is what an event takes up beside its texts and its body, about.
	accepting = 256
)

func newAcceptance(records []queue.Record, admission queue.Admission) *acceptance {
	a := &acceptance{
		records:   records,
		admission: admission,
	}
	if admission.Dedupe > 0 {
		a.identities = identitiesOf(records)
	}
	for i := range records {
		r := &records[i]
		a.size += int64(accepting + len(r.Identity) + len(r.Conversation) + len(r.URL) + len(r.Origin) + len(r.Body))
	}
	return a
}

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	a := newAcceptance(records, admission)
	if err := s.do(ctx, &operation{apply: a.apply, grows: true}); err != nil {
		return nil, err
	}
	return a.duplicates, nil
}

func (a *acceptance) apply(t *txn) error {
	a.duplicates = nil
	if err := a.findConsumers(t); err != nil {
		return err
	}
	fresh, err := a.recognise(t)
	if err != nil || len(fresh) == 0 {
		return err
	}
	if err := a.fits(t, fresh); err != nil {
		return err
	}
	if err := a.insert(t, fresh); err != nil {
		return err
	}
	for i, c := range a.consumers {
		if more := a.more[i]; more.pending > 0 {
			c.counts.pending += more.pending
			c.counts.bytes += more.bytes
			c.woken = true
		}
	}
	return a.remember(t)
}

func (a *acceptance) findConsumers(t *txn) error {
	names := a.admission.Recipients()
	a.consumers = make([]*consumer, len(names))
	a.more = make([]counts, len(names))
	for i, name := range names {
		var err error
		if a.consumers[i], err = t.consumer(name); err != nil {
			return err
		}
	}
	return nil
}

// bits returns the bits of the consumers that get an event.
func (a *acceptance) bits(r *queue.Record) (bits int64) {
	for i, c := range a.consumers {
		if r.IsFor(i) {
			bits |= c.bit()
		}
	}
	return bits
}

// recognise finds the duplicates, and returns the indexes of the others.
func (a *acceptance) recognise(t *txn) (fresh []int, err error) {
	for n := range a.identities {
		id := &a.identities[n]
		seen := n > 0 && id.same(&a.identities[n-1]) // in this delivery
		if !seen {
			if seen, err = t.wasSeen(id, a.admission.Dedupe); err != nil {
				return nil, err
			}
		}
		if seen {
			if a.duplicates == nil {
				a.duplicates = make([]bool, len(a.records))
			}
			a.duplicates[id.record] = true
		}
	}
	fresh = make([]int, 0, len(a.records))
	for i := range a.records {
		if !a.isDuplicate(i) {
			fresh = append(fresh, i)
		}
	}
	return fresh, nil
}

func (a *acceptance) isDuplicate(i int) bool { return a.duplicates != nil && a.duplicates[i] }

// fits returns queue.ErrFull if the delivery would exceed a limit.
func (a *acceptance) fits(t *txn, fresh []int) error {
	waiting := t.memory.pending()
	for i, c := range a.consumers {
		more := &a.more[i]
		for _, n := range fresh {
			if a.records[n].IsFor(i) {
				more.count(statePending, 1, int64(len(a.records[n].Body)))
			}
		}
		if more.pending == 0 {
			continue
		}
		waiting += more.pending
		has := c.counts
		if err := a.admission.Pending(c.name, has.pending+more.pending, has.bytes+more.bytes, has.pending, has.bytes); err != nil {
			return err
		}
	}
	room, err := t.space()
	if err != nil {
		return nil // the commit will tell
	}
	needed := 2*a.size + 8*pageSize // in the write-ahead log, and in the file
	if err := a.admission.Space(room, needed+settling*waiting); err != nil {
		return err
	}
	t.room -= needed
	return nil
}

const (
	insertDelivery = `INSERT INTO delivery (id, events, url, origin, secret) VALUES (?, ?, ?, ?, ?)`
	insertEvent    = `INSERT INTO event (id, accepted, identity, not_unique, field, account, conversation, delivery,
		consumers, signature, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// insert adds events to the log. Those in a row that share what a delivery has share a
// row of it.
func (a *acceptance) insert(t *txn, fresh []int) error {
	t.dirty = true
	s := t.db.statement(insertEvent)
	s.int(2, t.now)
	rest := 0
	for n, i := range fresh {
		r := &a.records[i]
		t.memory.last++
		id := t.memory.last
		if rest == 0 {
			for rest = 1; n+rest < len(fresh) && sameDelivery(r, &a.records[fresh[n+rest]]); rest++ {
			}
			if err := t.change(insertDelivery, id, rest, r.URL, r.Origin, r.Secret); err != nil {
				return err
			}
			s.int(8, id)
		}
		rest--
		s.int(1, id)
		s.text(3, r.Identity)
		s.bool(4, r.NotUnique)
		// What is bound stays so. Most events of a delivery are of one account, and of one field.
		if n == 0 || r.Field != a.records[fresh[n-1]].Field {
			s.text(5, r.Field)
		}
		if n == 0 || r.Account != a.records[fresh[n-1]].Account {
			s.text(6, r.Account)
		}
		s.text(7, r.Conversation)
		s.int(9, a.bits(r))
		s.blob(10, r.Signature[:])
		s.blob(11, r.Body)
		if err := s.run(); err != nil {
			return err
		}
		if r.Message != "" {
			if err := t.noteMessage(id, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameDelivery(a, b *queue.Record) bool {
	return a.URL == b.URL && a.Origin == b.Origin && a.Secret == b.Secret
}

// remember stores the identities of events that were accepted.
func (a *acceptance) remember(t *txn) error {
	if a.admission.Dedupe <= 0 {
		return nil
	}
	table, err := t.newestTable(a.admission.Dedupe)
	if err != nil {
		return err
	}
	for n := range a.identities {
		if id := &a.identities[n]; !a.isDuplicate(id.record) {
			if err := t.put(table, id); err != nil {
				return err
			}
		}
	}
	t.memory.identities.newest = t.now
	return nil
}
