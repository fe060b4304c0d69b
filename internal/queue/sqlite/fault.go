package sqlite

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// The index of the write-ahead log is a file that is mapped into memory. When the file
// system cannot write a page of it, as on a full btrfs or a broken disk below xfs, there is
// no error but a fault, which would end the process. This file makes it an error, after
// which the connection is of no use: its memory is lost, some MiB, and the store opens the
// file again, as after a crash, but not at once if that happens again.

// fault is an access to memory that failed.
type fault struct{ address uintptr }

func (*fault) Error() string { return "the index of the write-ahead log could not be written" }

// errDriver is wrapped by the error that a panic of the driver becomes. It panics when a
// connection needs more memory than it may have, and can go on afterwards.
var errDriver = errors.New("the driver has panicked")

// catchFault calls fn, and returns a *fault if there was one.
func catchFault(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // of package runtime
			err = &fault{r.Addr()}
		case runtime.Error:
			panic(r)
		case error: // the driver panics with nothing else
			err = failure{fmt.Errorf("%w: %w", errDriver, r)}
		default:
			panic(r)
		}
	}()
	return fn()
}

// The bounds of the time after a fault until the file is opened again, unless it is the
// first one for a while.
const (
	firstReopen = 50 * time.Millisecond
	maxReopen   = 30 * time.Second
)

// guarded calls fn, which uses the connection. After a fault the connection is closed.
func (c *conn) guarded(fn func() error) error {
	err := catchFault(fn)
	if f := new(fault); errors.As(err, &f) {
		if isFull(c.path) {
			err = fmt.Errorf("%w: %w", queue.ErrFull, f)
		}
		c.broken = true
		vfs.Unregister(c.vfs)
		return failure{fmt.Errorf("the queue %s: %w", c.path, errors.Join(err, c.files.closeFiles()))}
	}
	return err
}

// openFiles are the files of a connection, by which it can be closed without SQLite: that
// would go on with the transaction, and write to the log by what it finds in the index.
type openFiles struct {
	vfs.VFSFilename
	files []vfs.File
}

// OpenFilename implements vfs.VFSFilename.
func (o *openFiles) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := o.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	if flags&vfs.OPEN_WAL != 0 {
		file = &logFile{File: file}
	}
	o.files = append(o.files, file)
	return file, flags, nil
}

// closeFiles closes the files, and so ends the locks. One that is closed already says nothing.
func (o *openFiles) closeFiles() (err error) {
	for _, f := range o.files {
		err = errors.Join(err, unlockIndex(f), f.Close())
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
		state := statePending
		if l.erased {
			state = stateErased
		}
		same = hasStatus != l.open && s.ColumnInt(0) == state && s.ColumnInt64(1) == l.attempts
	}, selectLeased, c.id, id)
	if err == nil && same {
		if c.begin(id, l); !leased {
			c.giveBack(id)
		}
	}
	return err
}
