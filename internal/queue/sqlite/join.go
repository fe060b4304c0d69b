package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

const (
	insertConsumer = `INSERT INTO consumer (id, name, mark, kept_until, kept_fields, pending, pending_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)`
	putOrdering    = `INSERT OR REPLACE INTO ordering (consumer, since, kind) VALUES (?, ?, ?)`
	dropOrdering   = `DELETE FROM ordering WHERE consumer = ? AND since < ?`
	countKept      = `SELECT count(*), coalesce(sum(length(body)), 0) FROM event WHERE signature <> x'' AND (?1 = '' OR instr(?1, ' ' || field || ' ') > 0)`
)

// Join implements queue.Store.
func (s *Store) Join(ctx context.Context, consumers []queue.Consumer) error {
	if s.anyBeginsWithKept(consumers) { // what a dropped one has left behind would count as kept
		if err := s.sweepAll(ctx); err != nil {
			return err
		}
	}
	return s.do(ctx, &operation{apply: func(t *txn) error {
		joining := 0
		for _, c := range consumers {
			if t.memory.consumer(c.Name) == nil {
				joining++
			}
		}
		if len(t.memory.consumers)+joining > queue.MaxConsumers {
			return fmt.Errorf("the queue %s has %d consumers, and %d more would be more than %d: drop those that have left",
				t.path, len(t.memory.consumers), joining, queue.MaxConsumers)
		}
		for _, c := range consumers {
			known := t.memory.consumer(c.Name)
			if known == nil {
				var err error
				if known, err = t.join(c); err != nil {
					return err
				}
			}
			if err := t.setOrder(known, cmp.Or(c.Order, queue.ByConversation)); err != nil {
				return err
			}
		}
		return nil
	}})
}

// anyBeginsWithKept reports whether a new consumer begins with what is kept.
func (s *Store) anyBeginsWithKept(consumers []queue.Consumer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(consumers, func(c queue.Consumer) bool {
		return c.FromKept && s.memory.consumer(c.Name) == nil
	})
}

// join adds a consumer.
func (t *txn) join(new queue.Consumer) (*consumer, error) {
	id := int64(1)
	for slices.ContainsFunc(t.memory.consumers, func(c *consumer) bool { return c.id == id }) {
		id++
	}
	c := newConsumer(id, new.Name)
	c.cursor = t.memory.last
	if new.FromKept {
		c.cursor, c.keptUntil = 0, t.memory.last
		if len(new.Fields) > 0 {
			c.keptFields = " " + strings.Join(new.Fields, " ") + " "
		}
		if _, err := t.db.first(func(s *sqlite3.Stmt) {
			c.counts.pending, c.counts.bytes = s.ColumnInt64(0), s.ColumnInt64(1)
		}, countKept, c.keptFields); err != nil {
			return nil, err
		}
	}
	c.marked, c.written = c.cursor, c.progress
	if err := t.change(insertConsumer, c.id, c.name, c.marked, c.keptUntil, c.keptFields, c.counts.pending, c.counts.bytes); err != nil {
		return nil, err
	}
	before := t.memory.consumers
	t.memory.consumers = append(slices.Clone(before), c)
	t.undo = append(t.undo, func() { t.memory.consumers = before })
	return c, nil
}

// setOrder changes what a consumer is ordered by, from the next event on.
func (t *txn) setOrder(c *consumer, kind queue.Order) error {
	n := len(c.orders)
	if n > 0 && c.orders[n-1].kind == kind {
		return nil
	}
	next := order{t.memory.last, kind}
	if n == 0 {
		next.since = 0
	}
	before := c.orders
	after := slices.DeleteFunc(slices.Clone(before), func(o order) bool { return o.since == next.since })
	// Those that no event needs any more are dropped: the one in force at the mark stays.
	for len(after) > 1 && after[1].since <= c.mark() && c.rows == 0 {
		after = after[1:]
	}
	c.orders = append(after, next)
	t.undo = append(t.undo, func() { c.orders = before })
	if err := t.change(putOrdering, c.id, next.since, string(kind)); err != nil {
		return err
	}
	return t.change(dropOrdering, c.id, c.orders[0].since)
}

// Pause implements queue.Store.
func (s *Store) Pause(ctx context.Context, name string, paused bool) error {
	return s.do(ctx, &operation{apply: func(t *txn) error {
		c, err := t.consumer(name)
		if err != nil || c.paused == paused {
			return err
		}
		c.paused, c.woken = paused, true
		t.undo = append(t.undo, func() { c.paused = !paused })
		return t.change(`UPDATE consumer SET paused = ? WHERE id = ?`, paused, c.id)
	}})
}

// Drop implements queue.Store. What only the consumer had is removed in steps by Expire.
func (s *Store) Drop(ctx context.Context, name string) error {
	return s.do(ctx, &operation{apply: func(t *txn) error {
		c, err := t.consumer(name)
		if err != nil {
			return err
		}
		if len(c.leased) > 0 {
			return queue.ErrLeased
		}
		before := *c
		t.undo = append(t.undo, func() { *c = before })
		c.cursor, c.name, c.woken = c.mark(), "", true
		c.open, c.busy, c.sequence, c.returned = nil, nil, nil, nil
		return t.change(`UPDATE consumer SET name = NULL WHERE id = ?`, c.id)
	}})
}

const (
	selectHad = `SELECT s.event, e.delivery FROM status s JOIN event e ON e.id = s.event WHERE s.consumer = ? LIMIT ?`
	selectNew = `SELECT e.id, e.delivery FROM event e LEFT JOIN status s ON s.consumer = ? AND s.event = e.id
		WHERE ` + isFresh + ` AND e.id <= ? ORDER BY e.id LIMIT ?`
)

// left is an event that is to be forgotten.
type left struct{ id, delivery int64 }

// sweep removes some of what a dropped consumer has left behind, and reports whether there
// may be more.
func (t *txn) sweep() (more bool, err error) {
	at := slices.IndexFunc(t.memory.consumers, func(c *consumer) bool { return c.name == "" })
	if at < 0 {
		return false, nil
	}
	c := t.memory.consumers[at]
	var all []left
	gather := func(s *sqlite3.Stmt) bool {
		all = append(all, left{s.ColumnInt64(0), s.ColumnInt64(1)})
		return true
	}
	err = t.db.each(gather, selectHad, c.id, step)
	if err == nil && len(all) == 0 {
		end := t.horizon(c)
		err = t.db.each(gather, selectNew, c.freshArgs(end, step)...)
		if n := len(all); n == step {
			end = all[n-1].id
		}
		c.cursor = end
	}
	for _, e := range all {
		if err == nil {
			err = t.leave(c, e.id, e.delivery)
		}
	}
	if err != nil || len(all) > 0 || c.cursor < t.memory.last {
		t.dirty = true
		return err == nil, err
	}
	before := t.memory.consumers
	t.memory.consumers = slices.Delete(slices.Clone(before), at, at+1)
	t.undo = append(t.undo, func() { t.memory.consumers = before })
	for _, sql := range []string{`DELETE FROM attempt WHERE consumer = ?`, `DELETE FROM ordering WHERE consumer = ?`, `DELETE FROM consumer WHERE id = ?`} {
		if err := t.change(sql, c.id); err != nil {
			return false, err
		}
	}
	return true, nil
}

// leave removes what a dropped consumer has of an event, or all of it if nobody else has
// the event.
func (t *txn) leave(c *consumer, id, delivery int64) error {
	if removed, err := t.letGo(c, id, delivery); err != nil || removed {
		return err
	}
	return t.change(dropStatus, c.id, id)
}

// sweepAll removes all that dropped consumers have left behind.
func (s *Store) sweepAll(ctx context.Context) error {
	for more := true; more; {
		if err := s.do(ctx, &operation{apply: func(t *txn) (err error) {
			more, err = t.sweep()
			return err
		}}); err != nil {
			return err
		}
	}
	return nil
}
