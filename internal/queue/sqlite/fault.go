package sqlite

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// The index of the write-ahead log is a file that is mapped into memory. When the file
// system cannot write a page of it, as on a full btrfs or a broken disk below xfs, there is
// no error but a fault, which would end the process. This file makes it an error, after
// which the connection is of no use: the store opens the file again, as after a crash.

// fault is an access to memory that failed.
type fault struct{ address uintptr }

func (*fault) Error() string { return "the index of the write-ahead log could not be written" }

// catchFault calls fn, and returns a *fault if there was one.
func catchFault(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // of package runtime
			err = &fault{r.Addr()}
		default:
			panic(r)
		}
	}()
	return fn()
}

// guarded calls fn, which uses the connection. After a fault the connection is closed.
func (c *conn) guarded(fn func() error) error {
	err := catchFault(fn)
	if f := new(fault); errors.As(err, &f) {
		if isFull(c.path) {
			err = fmt.Errorf("%w: %w", queue.ErrFull, f)
		}
		return failure{fmt.Errorf("the queue %s: %w", c.path, errors.Join(err, c.closeAfter(f)))}
	}
	return err
}

// maxFaults is more than the pages of the index that closing a connection can come upon.
const maxFaults = 100

// closeAfter closes the connection after a fault. As that uses the index, it puts ordinary
// memory in place of the pages that cannot be used: it is of no further interest what is
// in them, and the file is not changed.
func (c *conn) closeAfter(f *fault) (err error) {
	c.broken = true
	stmts := make([]*sqlite3.Stmt, 0, len(c.stmts))
	for s := range c.Stmts() {
		stmts = append(stmts, s)
	}
	for range maxFaults {
		if err := replacePage(f.address); err != nil {
			return err
		}
		err = catchFault(func() error {
			for ; len(stmts) > 0; stmts = stmts[1:] {
				_ = stmts[0].Close() // repeats the error of its last step
			}
			if _, err := c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
				return err
			}
			return c.Conn.Close()
		})
		if !errors.As(err, &f) {
			break
		}
	}
	return err
}

// takeOver takes over what memory had before a fault and the file does not tell: which
// events are leased, and how far consumers have looked. Whether the transaction of the
// fault is in the file is not known; what it has settled there is not leased any more.
func (m *memory) takeOver(before *memory, db *conn) error {
	for _, old := range before.consumers {
		old.woken = true
		c := m.consumer(old.name)
		if c == nil || c.id != old.id {
			continue
		}
		c.turn, c.wake, c.sequence, c.cursor = old.turn, old.wake, old.sequence, max(c.cursor, old.cursor)
		c.woken = true
		for id, l := range old.leased {
			if err := c.takeOver(id, l, true, db); err != nil {
				return err
			}
		}
		for _, id := range old.returned {
			if err := c.takeOver(id, old.open[id], false, db); err != nil {
				return err
			}
		}
	}
	return nil
}

const selectLeased = `SELECT s.state, s.attempts FROM event e LEFT JOIN status s ON s.consumer = ? AND s.event = e.id WHERE e.id = ?`

// takeOver takes over an event that is leased or returned, unless it has become of it what
// ends that.
func (c *consumer) takeOver(id int64, l *lease, leased bool, db *conn) error {
	same := false
	_, err := db.first(func(s *sqlite3.Stmt) {
		hasStatus := s.ColumnType(0) != sqlite3.NULL
		same = hasStatus != l.open && s.ColumnInt(0) == statePending && s.ColumnInt64(1) == l.attempts
	}, selectLeased, c.id, id)
	if err == nil && same {
		if c.begin(id, l); !leased {
			c.giveBack(id)
		}
	}
	return err
}
