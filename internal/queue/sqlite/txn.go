package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// memory is what a store knows without the file. A transaction that fails takes back what
// it has changed.
type memory struct {
	last       int64 // the highest number that was given to an event or a position
	consumers  []*consumer
	identities identities
}

// consumer returns the consumer with a name, or nil.
func (m *memory) consumer(name string) *consumer {
	for _, c := range m.consumers {
		if c.name == name && name != "" {
			return c
		}
	}
	return nil
}

// pending returns how many events wait, each counted for each consumer.
func (m *memory) pending() (n int64) {
	for _, c := range m.consumers {
		if c.name != "" {
			n += c.counts.pending
		}
	}
	return n
}

// txn is the transaction of a commit.
type txn struct {
	*Store
	now   int64 // in microseconds since 1970
	dirty bool  // something changed in the file
	room  int64 // how many bytes are free for what is accepted; 0: not known

	saved memory    // what was there before
	begun []leaseOf // the leases that it has begun
	ended []leaseOf // those that it has ended, the returned ones among them
	undo  []func()  // takes back what is changed seldom
}

// leaseOf is a lease and whose it is.
type leaseOf struct {
	*consumer
	id int64
	*lease
	leased bool // else it was returned
}

// begin prepares the transaction of a commit. The caller holds mu.
func (s *Store) begin(now time.Time) *txn {
	for _, c := range s.memory.consumers {
		c.saved = c.progress
	}
	return &txn{Store: s, now: now.UnixMicro(), saved: s.memory}
}

// run does operations, and commits. When it returns an error, it is to be rolled back.
func (t *txn) run(ops []*operation) error {
	if err := t.db.run("BEGIN"); err != nil {
		return err
	}
	for _, op := range ops {
		op.err = op.apply(t)
		if failed := new(failure); errors.As(op.err, failed) {
			return op.err
		}
	}
	return t.commit()
}

// consumer returns the consumer with a name.
func (t *txn) consumer(name string) (*consumer, error) {
	if c := t.memory.consumer(name); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w: %q", queue.ErrNoConsumer, name)
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
	if t.dirty {
		for _, c := range t.memory.consumers {
			mark, n := c.mark(), c.counts
			if mark == c.marked && n == c.written.counts {
				continue
			}
			if err := t.change(updateConsumer, mark, n.pending, n.bytes, n.dead, n.delivered, c.id); err != nil {
				return err
			}
		}
		if t.memory.last != t.saved.last {
			if err := t.change(updateLast, t.memory.last); err != nil {
				return err
			}
		}
	}
	if err := t.db.run("COMMIT"); err != nil {
		return err
	}
	for _, c := range t.memory.consumers {
		if t.dirty {
			c.marked, c.written = c.mark(), c.progress
		}
		c.tidy()
		if c.woken {
			c.notify()
		}
	}
	return nil
}

// rollback takes back what the transaction has changed.
func (t *txn) rollback() error {
	for _, undo := range slices.Backward(t.undo) {
		undo()
	}
	for _, l := range t.begun {
		l.giveBack(l.id)
	}
	for _, l := range t.ended {
		l.consumer.begin(l.id, l.lease)
		if !l.leased {
			l.giveBack(l.id)
		}
	}
	for _, c := range t.memory.consumers {
		c.progress, c.woken = c.saved, false
		c.rewind(c.cursor)
	}
	t.memory.last, t.memory.identities = t.saved.last, t.saved.identities
	if t.db == nil || t.db.GetAutocommit() { // it is closed, or SQLite has rolled back by itself
		return nil
	}
	return t.db.run("ROLLBACK")
}

const (
	oldestKnown = `SELECT event FROM status WHERE consumer = ? AND state = 0 ORDER BY event LIMIT 1`
	firstFresh  = `SELECT e.id FROM event e LEFT JOIN status s ON s.consumer = ? AND s.event = e.id
		WHERE ` + isFresh + ` AND e.id <= ? ORDER BY e.id LIMIT 1`
)

// oldest returns when the oldest pending event of a consumer was accepted, unless it has
// to look further than one transaction may.
func (t *txn) oldest(c *consumer) (oldest time.Time, more bool, err error) {
	if c.counts.pending == 0 {
		return time.Time{}, false, nil
	}
	known, err := t.db.number(oldestKnown, c.id)
	fresh := c.firstOpen()
	if err == nil && fresh == 0 {
		fresh, err = t.skip(c)
	}
	id := min(cmp.Or(known, fresh), cmp.Or(fresh, known))
	if err != nil || fresh == 0 && (known == 0 || known > c.cursor) {
		return time.Time{}, c.cursor < t.memory.last, err
	}
	accepted, err := t.db.number(`SELECT accepted FROM event WHERE id = ?`, id)
	return queue.FromMicros(accepted), false, err
}

// skip moves the cursor of a consumer on to the first event that waits for it, which it
// returns, so that what is before it is looked at only once.
func (t *txn) skip(c *consumer) (id int64, err error) {
	end := t.horizon(c)
	id, err = t.db.number(firstFresh, c.freshArgs(end)...)
	if err == nil {
		if c.cursor = end; id != 0 {
			c.cursor = id - 1
		}
	}
	return id, err
}
