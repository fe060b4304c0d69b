package sqlite

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// This file moves an event from state to state, for one consumer:
//
//	accepted ──> waiting ──> leased ──> delivered ──┐
//	               ^ ^          │                   ├──> forgotten
//	               │ └─ retried ┼──────> dead ──────┤
//	               └────────────┼── replayed <──────┘
//	                 released ──┘
//
// What is erased when it waits or is leased has a state of its own, from which it goes to
// delivered, if the attempt under way delivers it, and to forgotten.
//
// A waiting event has a status row only if something happened to it: an attempt failed,
// it was requeued, or it has to wait for another event of its chain, in which case it is
// held. At any time, at most one event of a chain is not held: its head, which is the first
// of those with a status row, or stands before these in the log. What is forgotten is
// removed, unless other consumers still have the event.

const (
	putStatus = `INSERT INTO status (consumer, event, state, lane, held, due, chain, position, attempts, tried, settled, error)
		VALUES (?, ?, ?, ?, 0, ?, ?, ?2, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET state = excluded.state, lane = excluded.lane, due = excluded.due,
		attempts = excluded.attempts, tried = excluded.tried, settled = excluded.settled, error = excluded.error`
	holdEvent = `INSERT INTO status (consumer, event, state, lane, held, due, chain, position) VALUES (?, ?, 0, 0, ?, 0, ?, ?2)`
	firstOf   = `SELECT event, held, position FROM status WHERE consumer = ? AND chain = ? AND state = 0 AND chain <> 0 ORDER BY position LIMIT 1`
	makeHead  = `UPDATE status SET held = 0 WHERE consumer = ? AND event = ?`
	replay    = `UPDATE status SET state = 0, lane = 2, held = ?, due = ?, chain = ?, position = ?, attempts = 0, tried = NULL,
		requeued = ?, settled = NULL, error = NULL WHERE consumer = ? AND event = ?`
	makeDue    = `UPDATE status SET due = ? WHERE consumer = ? AND event = ?`
	addAttempt = `INSERT INTO attempt (consumer, event, number, ended, took, status, error, answer)
		SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ? FROM attempt WHERE consumer = ?1 AND event = ?2`
	dropOldAttempt = `DELETE FROM attempt WHERE consumer = ?1 AND event = ?2 AND number <=
		(SELECT max(number) FROM attempt WHERE consumer = ?1 AND event = ?2) - ?`
	dropAttempts = `DELETE FROM attempt WHERE consumer = ? AND event = ?`
	putForgotten = `INSERT INTO status (consumer, event, state, lane, held, chain, position) VALUES (?, ?, 3, 0, 0, 0, 0)
		ON CONFLICT DO UPDATE SET state = 3, lane = 0, held = 0, due = NULL, chain = 0, attempts = 0, tried = NULL, settled = NULL, error = NULL`
	dropStatus      = `DELETE FROM status WHERE consumer = ? AND event = ?`
	dropAllAttempts = `DELETE FROM attempt WHERE consumer IN (SELECT id FROM consumer) AND event = ?`
	dropAllStatus   = `DELETE FROM status WHERE consumer IN (SELECT id FROM consumer) AND event = ?`
	dropNote        = `DELETE FROM note WHERE event = ?`
	dropEvent       = `DELETE FROM event WHERE id = ?`
	// Once the last event of a delivery is gone, so is what they shared.
	dropDelivery = `DELETE FROM delivery WHERE id = ?1 AND NOT EXISTS
		(SELECT 1 FROM event WHERE id >= ?1 AND id < ?1 + delivery.events AND delivery = ?1)`
)

// settle ends the lease of an event after an attempt.
func (t *txn) settle(c *consumer, id int64, o queue.Outcome) error {
	l := c.leased[id]
	if l == nil {
		return queue.ErrNotFound
	}
	if l.erased {
		return t.settleErased(c, id, l, o.OfErased())
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
		if tried == nil && !o.Ended.IsZero() {
			tried = queue.Micros(o.Ended)
		}
		due = queue.Micros(o.Due)
	} else {
		settled = t.now
	}
	if err := t.change(putStatus, c.id, id, state, lane, due, l.chain, l.attempts+1, tried, settled, textOrNull(o.Error)); err != nil {
		return err
	}
	if (state != stateDelivered || l.attempts > 0 || lane == laneReplayed) && t.hasRoomForAttempts() {
		if err := t.addAttempt(c, id, &o.Attempt); err != nil {
			return err
		}
	}
	c.drop(id, l)
	t.ended = append(t.ended, leaseOf{c, id, l, true})
	c.woken = true
	if l.open {
		c.rows++
	}
	if state == statePending {
		return nil
	}
	c.rows--
	c.counts.count(statePending, -1, l.size)
	c.counts.count(state, 1, 0)
	return t.promote(c, l.chain, 0)
}

// hasRoomForAttempts reports whether there is more room than it takes to settle all that
// waits. Attempts are not worth that an event cannot be settled.
func (t *txn) hasRoomForAttempts() bool {
	room, err := t.space()
	return !t.reserve.gone() && (err != nil || room-settling*t.memory.pending() > t.reserve.size)
}

// addAttempt takes down an attempt, and drops the first one if there are too many.
func (t *txn) addAttempt(c *consumer, id int64, a *queue.Attempt) error {
	var answer any
	if a.Answer != nil {
		answer = a.Answer
	}
	err := t.change(addAttempt, c.id, id, queue.Micros(a.Ended), a.Took.Microseconds(), a.Status, textOrNull(a.Error), answer)
	if err == nil {
		err = t.change(dropOldAttempt, c.id, id, queue.MaxHistory)
	}
	return err
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// hold gives a new event a status row, as it cannot be leased before another one.
func (t *txn) hold(c *consumer, id, chain int64, held bool) error {
	err := t.change(holdEvent, c.id, id, held, chain)
	if err == nil {
		c.rows++
	}
	return err
}

// promote makes the first event of a chain its head, after the head before it, at a
// position, is gone.
func (t *txn) promote(c *consumer, chain, position int64) error {
	if chain == 0 || c.rows == 0 {
		return nil
	}
	var next int64
	if _, err := t.db.first(func(s *sqlite3.Stmt) {
		if s.ColumnBool(1) && s.ColumnInt64(2) > position {
			next = s.ColumnInt64(0)
		}
	}, firstOf, c.id, chain); err != nil || next == 0 {
		return err
	}
	c.woken = true
	return t.change(makeHead, c.id, next)
}

// standing is where an event stands for a consumer.
type standing struct {
	delivery, chain, size int64
	hasStatus             bool
	state, lane           int
	held                  bool
	due, position         int64
	statusChain           int64
	erased                bool
}

const selectStanding = `SELECT e.delivery, length(e.body), e.consumers, e.field, e.conversation, e.account,
	s.state, s.lane, s.held, s.due, s.position, s.chain, e.signature = x''
	FROM event e LEFT JOIN status s ON s.consumer = ? AND s.event = e.id WHERE e.id = ?`

// stands returns where an event stands for a consumer, and whether it has it.
func (t *txn) stands(c *consumer, id int64) (w standing, has bool, err error) {
	_, err = t.db.first(func(s *sqlite3.Stmt) {
		w = standing{
			delivery: s.ColumnInt64(0), size: s.ColumnInt64(1),
			chain:     c.chainOf(id, s.ColumnText(4), s.ColumnText(5)),
			hasStatus: s.ColumnType(6) != sqlite3.NULL,
			state:     s.ColumnInt(6), lane: s.ColumnInt(7), held: s.ColumnBool(8),
			due: s.ColumnInt64(9), position: s.ColumnInt64(10), statusChain: s.ColumnInt64(11),
			erased: s.ColumnBool(12),
		}
		if has = w.hasStatus && w.state != stateForgotten; !w.hasStatus {
			has = id > c.mark() && c.wants(id, s.ColumnInt64(2), s.ColumnText(3), w.erased)
			w.position, w.statusChain = id, w.chain
		}
	}, selectStanding, c.id, id)
	return w, has, err
}

// requeue makes an event due, and reports whether there was anything to do: a settled
// one then, and one that waits for another attempt now.
func (t *txn) requeue(c *consumer, id, due int64) (bool, error) {
	w, has, err := t.stands(c, id)
	if err != nil || !has || c.leased[id] != nil || !w.hasStatus || w.erased {
		return false, err
	}
	if w.state == statePending {
		if w.lane == laneLive || w.due <= t.now {
			return false, nil
		}
		c.woken = true
		return true, t.change(makeDue, t.now, c.id, id)
	}
	held := false
	if w.chain != 0 {
		if held, err = t.db.first(func(*sqlite3.Stmt) {}, firstOf, c.id, -w.chain); err != nil {
			return false, err
		}
	}
	t.memory.last++
	if err := t.change(replay, held, due, -w.chain, t.memory.last, t.now, c.id, id); err != nil {
		return false, err
	}
	c.rows++
	c.counts.count(w.state, -1, 0)
	c.counts.count(statePending, 1, w.size)
	c.woken = true
	return true, nil
}

// discard forgets an event for a consumer that has it, whatever its state.
func (t *txn) discard(c *consumer, id int64, w *standing) error {
	if err := t.forget(c, id, w); err != nil {
		return err
	}
	if l := c.open[id]; l != nil {
		c.drop(id, l)
		t.ended = append(t.ended, leaseOf{c, id, l, false})
	}
	if w.state != statePending || w.held {
		return nil
	}
	return t.promote(c, w.statusChain, w.position)
}

// forget forgets an event for a consumer. What nobody needs any more is removed.
func (t *txn) forget(c *consumer, id int64, w *standing) error {
	if w.hasStatus && w.state == statePending {
		c.rows--
	}
	c.counts.count(w.state, -1, w.size)
	switch removed, err := t.letGo(c, id, w.delivery); {
	case err != nil || removed:
		return err
	case id <= c.mark(): // where an event without a status row is nothing to the consumer
		return t.change(dropStatus, c.id, id)
	}
	return t.change(putForgotten, c.id, id)
}

// letGo removes an event if nobody but a consumer has it, and reports whether it did. Else
// it removes what the consumer has of it, but the status row.
func (t *txn) letGo(c *consumer, id, delivery int64) (removed bool, err error) {
	needed, err := t.isNeeded(c, id)
	switch {
	case err != nil:
		return false, err
	case !needed:
		return true, t.remove(id, delivery)
	}
	return false, t.change(dropAttempts, c.id, id)
}

const selectNeed = `SELECT e.consumers, e.field, s.state, e.signature = x'' FROM event e LEFT JOIN status s ON s.consumer = ? AND s.event = e.id WHERE e.id = ?`

// isNeeded reports whether another consumer has an event.
func (t *txn) isNeeded(except *consumer, id int64) (needed bool, err error) {
	for _, c := range t.memory.consumers {
		if c == except || c.name == "" {
			continue
		}
		if _, err := t.db.first(func(s *sqlite3.Stmt) {
			if needed = s.ColumnInt(2) != stateForgotten; s.ColumnType(2) == sqlite3.NULL {
				needed = id > c.mark() && c.wants(id, s.ColumnInt64(0), s.ColumnText(1), s.ColumnBool(3))
			}
		}, selectNeed, c.id, id); err != nil || needed {
			return needed, err
		}
	}
	return false, nil
}

// remove removes what is stored of an event.
func (t *txn) remove(id, delivery int64) error {
	for _, sql := range []string{dropAllAttempts, dropAllStatus, dropNote, dropEvent} {
		if err := t.change(sql, id); err != nil {
			return err
		}
	}
	return t.change(dropDelivery, delivery)
}
