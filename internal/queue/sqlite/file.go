package sqlite

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

//go:embed schema.sql
var schema string

const (
	applicationID = 0x69677175
	layoutVersion = 2

	walSuffix  = "-wal"
	shmSuffix  = "-shm"
	lockSuffix = ".lock"

	// The endings of copies that take the place of the file once they are whole.
	newSuffix       = ".new"
	compactSuffix   = ".compact"
	migratingSuffix = ".migrating"

	// How much of the file connections keep in memory, in bytes.
	writerCache = 16 << 20
	readerCache = 2 << 20
)

// openFirst opens the file for the first time, once nobody else uses it.
func (s *Store) openFirst(acceptLoss bool) (err error) {
	if err := syncdir.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("making the queue %s: %w", s.path, err)
	}
	if info, err := os.Stat(s.path); err == nil && info.IsDir() {
		return fmt.Errorf("opening the queue %s: it is a directory", s.path)
	}
	switch s.lock, err = lockFile(s.path + lockSuffix); {
	case errors.Is(err, ErrLocked):
		return fmt.Errorf("the queue %s is in use by another process: %w", s.path, err)
	case err != nil:
		return fmt.Errorf("opening the queue %s: %w", s.path, err)
	}
	if err = s.removeUnfinished(); err != nil {
		return errors.Join(fmt.Errorf("opening the queue %s: %w", s.path, err), s.lock.release())
	}
	openKnown := func() error {
		version, err := s.examine(acceptLoss)
		if err == nil && version < layoutVersion {
			err = s.migrate(version)
		}
		if err != nil {
			return err
		}
		return s.openFile()
	}
	if err = createMissing(s.path); err == nil {
		if err = openKnown(); errors.Is(err, queue.ErrFull) && s.reserve.remove() == nil {
			err = openKnown()
		}
	}
	if err != nil {
		return errors.Join(err, s.closeFile(), s.lock.release())
	}
	_ = s.reserve.make() // if that fails, nothing is accepted until there is room
	if err := s.removeKept(1, time.Time{}); err != nil {
		s.logger().Warn("files of earlier layouts of the queue could not be removed", zap.String("path", s.path), zap.Error(err))
	}
	return nil
}

// removeUnfinished removes the copies that a crash has left unfinished. They hold what people
// wrote, which may be expired or erased in the queue before another copy takes their place.
func (s *Store) removeUnfinished() (err error) {
	for _, suffix := range []string{newSuffix, compactSuffix, migratingSuffix} {
		unfinished := s.path + suffix
		err = errors.Join(err, removeMissing(unfinished), removeMissing(unfinished+"-journal"))
	}
	return err
}

// createMissing makes an empty queue if there is none. It has its name only once it is
// whole and on disk, so that a crash leaves nothing that cannot be opened.
func createMissing(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it tells examine
	}
	unfinished := path + newSuffix
	f, err := os.OpenFile(unfinished, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := connect(unfinished, create, readerCache)
	if err != nil {
		return err
	}
	if err := errors.Join(db.script(schema), db.close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return fmt.Errorf("making the queue %s: %w", path, err)
	}
	return syncdir.Sync(filepath.Dir(path))
}

// examine looks at a file before it is changed in any way, and refuses one that is no
// queue, that this program is too old for, or whose write-ahead log is missing or is that
// of another file. It returns the version of the layout.
//
// A file that was closed in order is in the mode of rollback journals. While it is open it
// is in that of a write-ahead log, and says so; session tells which log is its own.
func (s *Store) examine(acceptLoss bool) (version int64, err error) {
	usesWAL, err := s.readHead()
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(s.path + walSuffix)
	hasWAL := err == nil && info.Size() > 0
	missing := errors.Is(err, fs.ErrNotExist)
	here, err := s.readMeta(mainOnly)
	if errors.Is(err, ErrDamaged) && hasWAL && usesWAL {
		// A checkpoint has ended halfway: the file is whole only together with its log.
		here, err = s.readMeta(readOnly)
	}
	if err != nil {
		return 0, err
	}
	switch {
	case hasWAL && !usesWAL:
		return 0, s.foreign()
	case hasWAL:
		switch there, err := s.readMeta(readOnly); {
		case err == nil && there.session == here.session:
		case err == nil, errors.Is(err, ErrDamaged), errors.Is(err, queue.ErrVersion), errors.Is(err, sqlite3.ERROR):
			return 0, errors.Join(err, s.foreign())
		default: // the disk fails: the log may well be its own
			return 0, err
		}
	case usesWAL && here.open && missing && !acceptLoss:
		return 0, fmt.Errorf("%w: %s. If this is a copy, copy %s as well, or make copies with 'caddy instagram queue backup'. "+
			"If it is lost, what was accepted or settled last is, too: 'accept_loss' goes on without", ErrUnclean, s.path, s.path+walSuffix)
	}
	return here.version, nil
}

func (s *Store) foreign() error {
	return fmt.Errorf("%s%s is not that of the queue beside it: if you have restored that from a backup, remove this file",
		s.path, walSuffix)
}

// readHead reads the first bytes of the file, as long as nobody has it open: SQLite would
// make a new file of an empty one.
func (s *Store) readHead() (usesWAL bool, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return false, err
	}
	head := make([]byte, 100)
	n, err := io.ReadFull(f, head)
	if err = errors.Join(err, f.Close()); n == len(head) {
		return head[18] == 2, err
	}
	return false, damage{fmt.Errorf("the file %s is no queue, or is damaged: it has %d bytes", s.path, n)}
}

// meta is what the file says about itself.
type meta struct {
	version int64
	session string
	open    bool
}

func (s *Store) readMeta(mode string) (m meta, err error) {
	db, err := connect(s.path, mode, readerCache)
	if err != nil {
		return m, err
	}
	err = db.guarded(func() (err error) {
		m, err = db.meta()
		return err
	})
	return m, errors.Join(err, db.close())
}

// meta reads what the file says about itself, and returns an error unless it is a queue of
// a layout that is known.
func (c *conn) meta() (m meta, err error) {
	if id, err := c.number("PRAGMA application_id"); err != nil || id != applicationID {
		if err == nil {
			err = damage{fmt.Errorf("the file %s is no queue: it is that of another program", c.path)}
		}
		return m, err
	}
	version, err := c.number("PRAGMA user_version")
	if err == nil && (version < 1 || version > layoutVersion) {
		err = fmt.Errorf("%w: %s has version %d of the layout, this program knows versions up to %d. "+queue.RunNewer, queue.ErrVersion, c.path, version, layoutVersion)
	}
	if err != nil {
		return m, err
	}
	_, err = c.first(func(row *sqlite3.Stmt) { m = meta{version, row.ColumnText(0), row.ColumnBool(1)} },
		`SELECT (SELECT value FROM meta WHERE key = 'session'), (SELECT value FROM meta WHERE key = 'open')`)
	return m, err
}

// openFile opens the connections, and reads what is to be kept in memory, unless it is
// there already. The caller holds sides and mu, or is alone.
func (s *Store) openFile() (err error) {
	if s.db, err = connect(s.path, readWrite, writerCache); err == nil {
		err = s.guarded(func() error {
			if err := s.begins(); err != nil || s.loaded {
				return err
			}
			return s.load()
		})
	}
	if err != nil {
		return errors.Join(err, s.abandon())
	}
	s.db.onCommit(s.onCommit)
	return nil
}

// begins takes over what a crash has left in the write-ahead log, marks the file as open,
// and begins a new log.
func (s *Store) begins() error {
	if err := s.ends(); isBusy(err) { // somebody looks into it: the log goes on
		return s.markOpen()
	} else if err != nil {
		return err
	}
	// A copy of a file that was open says that it is open, too: it is not, before it has a log.
	if err := s.db.script(fmt.Sprintf(`UPDATE meta SET value = 0 WHERE key = 'open'; UPDATE meta SET value = '%s' WHERE key = 'session';
		PRAGMA journal_mode = WAL`, rand.Text())); err != nil {
		return err
	}
	return s.markOpen()
}

// markOpen marks the file as open once its write-ahead log is there, and not before: a
// crash in between is no loss.
func (s *Store) markOpen() error {
	err := s.db.script(`UPDATE meta SET value = 1 WHERE key = 'open'`)
	if info, statErr := os.Stat(s.path); statErr == nil {
		// The driver lets everybody read it, who could then lock it and keep us out.
		_ = os.Chmod(s.path+shmSuffix, info.Mode().Perm())
	}
	if err == nil {
		_, err = s.db.checkpoint(false)
	}
	return err
}

// ends brings the file to the state in which it is closed: all that is known is in it.
func (s *Store) ends() error {
	if mode, err := s.db.text("PRAGMA journal_mode"); err != nil || mode != "wal" {
		return err
	}
	err := s.db.script(`UPDATE meta SET value = 0 WHERE key = 'open'`)
	if err == nil {
		_, err = s.db.checkpoint(true)
	}
	if err == nil {
		err = s.db.script("PRAGMA journal_mode = DELETE")
	}
	return err
}

// load reads what is to be kept in memory.
func (s *Store) load() error {
	var m memory
	var err error
	m.consumers, err = s.db.consumers()
	for _, c := range m.consumers {
		if err == nil {
			c.orders, err = s.db.orders(c.id)
		}
		if err == nil {
			c.rows, err = s.db.number(`SELECT count(*) FROM status WHERE consumer = ? AND state = 0`, c.id)
		}
		c.marked, c.written = c.cursor, c.progress
	}
	if err == nil {
		m.last, err = s.db.number(`SELECT value FROM meta WHERE key = 'last'`)
	}
	if err == nil {
		err = m.identities.load(s.db, time.Now())
	}
	if err == nil {
		err = m.takeOver(&s.memory, s.db)
	}
	if err == nil {
		s.memory, s.loaded = m, true
	}
	return err
}

// closeFile closes the file in order. If that fails, or somebody looks into it, its
// write-ahead log stays, and all is there the next time. The caller holds sides and mu, or
// is alone.
func (s *Store) closeFile() error {
	if s.db == nil {
		return nil
	}
	err := s.guarded(s.ends)
	if errors.Is(err, queue.ErrFull) && s.db != nil {
		err = errors.Join(s.reserve.remove(), s.guarded(s.ends))
	}
	if err != nil {
		s.logger().Warn("the queue could not be closed in order: keep its write-ahead log", zap.String("path", s.path), zap.Error(err))
	}
	return s.abandon()
}

// abandon closes the file as a crash does.
func (s *Store) abandon() error {
	err := s.db.close()
	s.db = nil
	return err
}
