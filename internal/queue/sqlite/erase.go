package sqlite

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Erase implements queue.Store. The file that a migration has kept goes. At last it writes
// the file anew: SQLite leaves copies of what was in it, on pages that are free, and between
// the rows of those that are not.
func (s *Store) Erase(ctx context.Context, e queue.Erasure) (total int, err error) {
	if err := s.sweepAll(ctx); err != nil { // what a dropped consumer has left behind
		return 0, err
	}
	last, err := s.Last(ctx)
	if err != nil {
		return 0, err
	}
	err = s.aside(ctx, func(db *conn) error {
		for after := int64(0); after < int64(last); {
			var found []int64
			if found, after, err = db.findHolding(&e, after, int64(last)); err != nil {
				return err
			}
			if !e.DryRun && len(found) > 0 {
				if err := s.eraseEach(ctx, &e, found); err != nil {
					return err
				}
			}
			total += len(found)
		}
		return nil
	})
	if err == nil && !e.DryRun {
		err = s.removeKept(0, time.Time{}) // it holds what is erased
	}
	if err == nil && !e.DryRun {
		_, _, err = s.Compact(ctx)
	}
	return total, err
}

const selectBodies = `SELECT id, identity, account, body FROM event WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`

// findHolding returns those of some events that an erasure selects, and how far it has
// looked.
func (c *conn) findHolding(e *queue.Erasure, after, last int64) (found []int64, upTo int64, err error) {
	n := 0
	err = c.each(func(s *sqlite3.Stmt) bool {
		n, upTo = n+1, s.ColumnInt64(0)
		r := queue.Record{Identity: s.ColumnText(1), Account: s.ColumnText(2), Body: s.ColumnRawBlob(3)}
		if e.Holds(&r) {
			found = append(found, upTo)
		}
		return true
	}, selectBodies, after, last, step)
	if n < step {
		upTo = last
	}
	return found, upTo, err
}

// eraseEach erases events in one transaction.
func (s *Store) eraseEach(ctx context.Context, e *queue.Erasure, ids []int64) error {
	err := s.do(ctx, &operation{apply: func(t *txn) error {
		for _, id := range ids {
			if err := t.erase(e, id); err != nil {
				return err
			}
		}
		return nil
	}})
	if err == nil && e.Erased != nil {
		e.Erased()
	}
	return err
}

const (
	selectLeft   = `SELECT identity, account FROM event WHERE id = ?`
	eraseEvent   = `UPDATE event SET identity = ?, account = ?, conversation = '', signature = x'', body = x'' WHERE id = ?`
	eraseAttempt = `UPDATE attempt SET error = NULL, answer = NULL WHERE consumer IN (SELECT id FROM consumer) AND event = ?`
	eraseErrors  = `UPDATE status SET error = NULL WHERE consumer IN (SELECT id FROM consumer) AND event = ? AND error IS NOT NULL`
	noteErased   = `INSERT INTO note (event, erased, because) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET erased = excluded.erased, because = excluded.because`
	putErased = `INSERT INTO status (consumer, event, state, lane, held, chain, position, settled) VALUES (?1, ?2, 4, 0, 0, ?3, ?2, ?4)
		ON CONFLICT DO UPDATE SET state = 4, lane = 0, held = 0, due = NULL, settled = excluded.settled`
	settleErased = `UPDATE status SET state = ?, attempts = attempts + 1, settled = ? WHERE consumer = ? AND event = ?`
)

// erase erases an event, if it is still there.
func (t *txn) erase(e *queue.Erasure, id int64) error {
	var r queue.Record
	found, err := t.db.first(func(s *sqlite3.Stmt) { r.Identity, r.Account = s.ColumnText(0), s.ColumnText(1) }, selectLeft, id)
	if err != nil || !found {
		return err
	}
	at := queue.Micros(e.At)
	for _, c := range t.memory.consumers {
		w, has, err := t.stands(c, id)
		if err == nil && has && w.state == statePending && !w.erased {
			err = t.eraseFor(c, id, &w, at)
		}
		if err != nil {
			return err
		}
	}
	left := e.Left(r)
	for _, change := range []struct {
		sql  string
		args []any
	}{
		{eraseAttempt, []any{id}},
		{eraseErrors, []any{id}},
		{eraseEvent, []any{left.Identity, left.Account, id}},
		{noteErased, []any{id, at, e.Because}},
	} {
		if err := t.change(change.sql, change.args...); err != nil {
			return err
		}
	}
	return nil
}

// eraseFor moves a pending event to erased for a consumer. A lease of it goes on, but
// without a place in the chain: the next event has that, and waits for the lease to end.
func (t *txn) eraseFor(c *consumer, id int64, w *standing, at int64) error {
	if w.hasStatus {
		c.rows--
	}
	c.counts.count(statePending, -1, w.size)
	if err := t.change(putErased, c.id, id, w.statusChain, at); err != nil {
		return err
	}
	if l := c.leased[id]; l != nil {
		before := *l
		t.undo = append(t.undo, func() {
			if *l = before; l.open {
				c.open[id] = l
			}
		})
		l.erased, l.open, l.lane = true, false, laneLive
		delete(c.open, id)
	} else if l := c.open[id]; l != nil {
		c.drop(id, l)
		t.ended = append(t.ended, leaseOf{c, id, l, false})
	}
	if w.held {
		return nil
	}
	return t.promote(c, w.statusChain, w.position)
}

// settleErased ends the lease of an event that was erased meanwhile.
func (t *txn) settleErased(c *consumer, id int64, l *lease, o queue.Outcome) error {
	state, settled := codeOf(o.State), any(t.now)
	if state == stateErased {
		var err error
		if settled, err = t.db.number(`SELECT settled FROM status WHERE consumer = ? AND event = ?`, c.id, id); err != nil {
			return err
		}
	}
	if err := t.change(settleErased, state, settled, c.id, id); err != nil {
		return err
	}
	if (state != stateDelivered || l.attempts > 0) && t.hasRoomForAttempts() {
		if err := t.addAttempt(c, id, &o.Attempt); err != nil {
			return err
		}
	}
	c.drop(id, l)
	t.ended = append(t.ended, leaseOf{c, id, l, true})
	c.counts.count(state, 1, 0)
	c.woken = true
	return t.promote(c, l.chain, 0)
}

const (
	noteMessage   = `INSERT INTO note (event, message) VALUES (?, ?)`
	selectMessage = `SELECT event FROM note WHERE message = ? AND message IS NOT NULL AND erased IS NULL`
)

// noteMessage notes which message a new event is, or, if it takes that back, erases what
// there is of it.
func (t *txn) noteMessage(id int64, r *queue.Record) error {
	hash := newIdentity([]byte(r.Message), 0).key
	if !r.TakesBack {
		return t.change(noteMessage, id, hash)
	}
	var events []int64
	if err := t.db.each(func(s *sqlite3.Stmt) bool {
		events = append(events, s.ColumnInt64(0))
		return true
	}, selectMessage, hash); err != nil {
		return err
	}
	e := &queue.Erasure{At: queue.FromMicros(t.now), Because: queue.BecauseTakenBack}
	for _, event := range events {
		if err := t.erase(e, event); err != nil {
			return err
		}
	}
	return nil
}
