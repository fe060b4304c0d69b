package sqlite

import (
	"cmp"
	"time"
)

// consumer is the id of the only consumer that there is today.
const consumer = 1

// counts is how many events there are, and the bytes of the bodies of pending ones.
type counts struct{ pending, bytes, dead, delivered int64 }

// count counts n more events of a size in a state.
func (c *counts) count(state int, n, size int64) {
	switch state {
	case statePending:
		c.pending += n
		c.bytes += n * size
	case stateDelivered:
		c.delivered += n
	case stateDead:
		c.dead += n
	}
}

// txn is the transaction of a commit. What it changes in memory it takes back when the
// commit fails.
type txn struct {
	*Store
	now   int64 // in microseconds since 1970
	dirty bool  // something changed in the file
	wake  bool  // an event may have become due
	room  int64 // how many bytes are free for what is accepted; 0: not known

	// What was there before, and what it has begun and ended.
	counts
	last, cursor, rows int64
	identities         identities
	begun              []int64          // leases
	ended              map[int64]*lease // leases
	dropped            map[int64]*lease // returned events
}

// begin begins the transaction of a commit. The caller holds mu.
func (s *Store) begin(now time.Time) (*txn, error) {
	if err := s.db.run("BEGIN"); err != nil {
		return nil, err
	}
	m := s.memory
	return &txn{
		Store: s, now: now.UnixMicro(),
		counts: m.counts, last: m.last, cursor: m.cursor, rows: m.rows, identities: m.identities,
		ended: make(map[int64]*lease), dropped: make(map[int64]*lease),
	}, nil
}

// change runs a statement that changes the file.
func (t *txn) change(sql string, args ...any) error {
	t.dirty = true
	return t.db.run(sql, args...)
}

const (
	updateConsumer = `UPDATE consumer SET mark = ?, pending = ?, pending_bytes = ?, dead = ?, delivered = ? WHERE id = ?`
	updateLast     = `UPDATE meta SET value = ? WHERE key = 'last'`
)

// commit makes what the transaction has changed durable.
func (t *txn) commit() error {
	m := t.memory
	if t.dirty {
		c := m.counts
		if err := t.change(updateConsumer, m.mark(), c.pending, c.bytes, c.dead, c.delivered, consumer); err != nil {
			return err
		}
		if m.last != t.last {
			if err := t.change(updateLast, m.last); err != nil {
				return err
			}
		}
	}
	if err := t.db.run("COMMIT"); err != nil {
		return err
	}
	m.tidy()
	return nil
}

// rollback takes back what the transaction has changed.
func (t *txn) rollback() error {
	m := t.memory
	for _, id := range t.begun {
		m.giveBack(id)
	}
	for id, l := range t.ended {
		m.begin(id, l)
	}
	for id, l := range t.dropped {
		m.begin(id, l)
		m.giveBack(id)
	}
	m.rewind(t.cursor)
	m.counts, m.last, m.rows, m.identities = t.counts, t.last, t.rows, t.identities
	if t.db.GetAutocommit() { // SQLite has rolled back by itself
		return nil
	}
	return t.db.run("ROLLBACK")
}

const (
	oldestKnown = `SELECT event FROM status WHERE consumer = ? AND state = 0 ORDER BY event LIMIT 1`
	oldestFresh = `SELECT id FROM event e WHERE id > ? AND ` + noStatus + ` ORDER BY id LIMIT 1`
)

// oldest returns when the oldest pending event was accepted.
func (t *txn) oldest() (oldest time.Time, err error) {
	known, err := t.db.number(oldestKnown, consumer)
	fresh := t.memory.firstOpen()
	if err == nil && fresh == 0 {
		fresh, err = t.db.number(oldestFresh, t.memory.cursor, consumer)
	}
	id := min(cmp.Or(known, fresh), cmp.Or(fresh, known))
	if err != nil || id == 0 {
		return time.Time{}, err
	}
	accepted, err := t.db.number(`SELECT accepted FROM event WHERE id = ?`, id)
	return timeOf(accepted), err
}

// noStatus selects events, called e, to which nothing has happened for a consumer.
const noStatus = `NOT EXISTS (SELECT 1 FROM status WHERE consumer = ? AND event = e.id)`

// timeOf returns a time of the file.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}

// micros returns a time as it is in the file: 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
