package sqlite

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// This file moves an event from state to state:
//
//	accepted ──> waiting ──> leased ──> delivered ──┐
//	               ^ ^          │                   ├──> forgotten
//	               │ └─ retried ┼──────> dead ──────┤
//	               └────────────┼── replayed <──────┘
//	                 released ──┘
//
// A waiting event has a status row only if something happened to it: an attempt failed,
// it was requeued, or it has to wait for another event of its chain, in which case it is
// held. At any time, at most one event of a chain is not held: its head, which is the
// first of those with a status row, or stands before these in the log.

const (
	putStatus = `INSERT INTO status (consumer, event, state, lane, held, due, chain, position, attempts, tried, settled, error)
		VALUES (?, ?, ?, ?, 0, ?, ?, ?2, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET state = excluded.state, lane = excluded.lane, due = excluded.due,
		attempts = excluded.attempts, tried = excluded.tried, settled = excluded.settled, error = excluded.error`
	holdEvent  = `INSERT INTO status (consumer, event, state, lane, held, due, chain, position) VALUES (?, ?, 0, 0, ?, 0, ?, ?2)`
	firstOf    = `SELECT event, held, position FROM status WHERE consumer = ? AND chain = ? AND state = 0 AND chain <> 0 ORDER BY position LIMIT 1`
	makeHead   = `UPDATE status SET held = 0 WHERE consumer = ? AND event = ?`
	replay     = `UPDATE status SET state = 0, lane = 2, held = ?, due = ?, chain = ?, position = ?, attempts = 0, tried = NULL, requeued = ?, settled = NULL, error = NULL WHERE consumer = ? AND event = ?`
	makeDue    = `UPDATE status SET due = ? WHERE consumer = ? AND event = ?`
	dropStatus = `DELETE FROM status WHERE consumer = ? AND event = ?`
	dropEvent  = `DELETE FROM event WHERE id = ?`
	// Once the last event of a delivery is gone, so is what they shared.
	dropDelivery = `DELETE FROM delivery WHERE id = ?1 AND NOT EXISTS
		(SELECT 1 FROM event WHERE id >= ?1 AND id < ?1 + delivery.events AND delivery = ?1)`
)

// settle ends the lease of an event after an attempt.
func (t *txn) settle(id int64, o queue.Outcome) error {
	m := t.memory
	l := m.leased[id]
	if l == nil {
		return queue.ErrNotFound
	}
	state, lane := codeOf(o.State), l.lane
	var due, settled, tried any
	if l.tried != 0 {
		tried = l.tried
	}
	if state == statePending {
		if lane == laneLive {
			lane = laneRetried
		}
		if tried == nil && !o.Attempt.Ended.IsZero() {
			tried = micros(o.Attempt.Ended)
		}
		due = micros(o.Due)
	} else {
		settled = t.now
	}
	if err := t.change(putStatus, consumer, id, state, lane, due, l.chain, l.attempts+1, tried, settled, textOrNull(o.Error)); err != nil {
		return err
	}
	m.drop(id, l)
	t.ended[id] = l
	t.wake = true
	if l.open {
		m.rows++
	}
	if state == statePending {
		return nil
	}
	m.rows--
	m.counts.count(statePending, -1, l.size)
	m.counts.count(state, 1, 0)
	return t.promote(l.chain, 0)
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// hold gives a new event a status row, as it cannot be leased before another one.
func (t *txn) hold(id, chain int64, held bool) error {
	err := t.change(holdEvent, consumer, id, held, chain)
	if err == nil {
		t.memory.rows++
	}
	return err
}

// promote makes the first event of a chain its head, after the head before it, at a
// position, is gone.
func (t *txn) promote(chain, position int64) error {
	if chain == 0 || t.memory.rows == 0 {
		return nil
	}
	var next int64
	if _, err := t.db.first(func(s *sqlite3.Stmt) {
		if s.ColumnBool(1) && s.ColumnInt64(2) > position {
			next = s.ColumnInt64(0)
		}
	}, firstOf, consumer, chain); err != nil || next == 0 {
		return err
	}
	t.wake = true
	return t.change(makeHead, consumer, next)
}

// standing is where an event stands.
type standing struct {
	delivery, chain, size int64
	hasStatus             bool
	state, lane           int
	held                  bool
	due, position         int64
	statusChain           int64
}

// stands returns where an event stands, and whether there is one.
func (t *txn) stands(id int64) (w standing, found bool, err error) {
	found, err = t.db.first(func(s *sqlite3.Stmt) {
		w = standing{
			delivery: s.ColumnInt64(0), chain: s.ColumnInt64(1), size: s.ColumnInt64(2),
			hasStatus: s.ColumnType(3) != sqlite3.NULL,
			state:     s.ColumnInt(3), lane: s.ColumnInt(4), held: s.ColumnBool(5),
			due: s.ColumnInt64(6), position: s.ColumnInt64(7), statusChain: s.ColumnInt64(8),
		}
		if !w.hasStatus {
			w.position, w.statusChain = id, w.chain
		}
	}, `SELECT e.delivery, e.chain, length(e.body), s.state, s.lane, s.held, s.due, s.position, s.chain
		FROM event e LEFT JOIN status s ON s.consumer = ? AND s.event = e.id WHERE e.id = ?`, consumer, id)
	return w, found, err
}

// requeue makes an event due, and reports whether there was anything to do: a settled
// one then, and one that waits for another attempt now.
func (t *txn) requeue(id, due int64) (bool, error) {
	m := t.memory
	w, found, err := t.stands(id)
	if err != nil || !found || m.leased[id] != nil || !w.hasStatus {
		return false, err
	}
	if w.state == statePending {
		if w.lane == laneLive || w.due <= t.now {
			return false, nil
		}
		t.wake = true
		return true, t.change(makeDue, t.now, consumer, id)
	}
	held := false
	if w.chain != 0 {
		if held, err = t.db.first(func(*sqlite3.Stmt) {}, firstOf, consumer, -w.chain); err != nil {
			return false, err
		}
	}
	m.last++
	if err := t.change(replay, held, due, -w.chain, m.last, t.now, consumer, id); err != nil {
		return false, err
	}
	m.rows++
	m.counts.count(w.state, -1, 0)
	m.counts.count(statePending, 1, w.size)
	t.wake = true
	return true, nil
}

// discard forgets an event, whatever its state.
func (t *txn) discard(id int64) error {
	m := t.memory
	w, found, err := t.stands(id)
	switch {
	case err != nil:
		return err
	case !found:
		return queue.ErrNotFound
	case m.leased[id] != nil:
		return queue.ErrLeased
	}
	if err := t.forget(id, &w); err != nil {
		return err
	}
	if l := m.open[id]; l != nil {
		m.drop(id, l)
		t.dropped[id] = l
	}
	if w.state != statePending || w.held {
		return nil
	}
	return t.promote(w.statusChain, w.position)
}

// forget removes what is stored of an event. With more than one consumer, that is to
// wait for the last one.
func (t *txn) forget(id int64, w *standing) error {
	if w.hasStatus {
		if err := t.change(dropStatus, consumer, id); err != nil {
			return err
		}
		if w.state == statePending {
			t.memory.rows--
		}
	}
	t.memory.counts.count(w.state, -1, w.size)
	if err := t.change(dropEvent, id); err != nil {
		return err
	}
	return t.change(dropDelivery, w.delivery)
}
