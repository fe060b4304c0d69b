package sqlite

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/caddy-instagram/webhooks/internal/freespace"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// conn is a connection to a file, with statements that stay prepared. It is for one
// goroutine at a time.
//
// This file is all that knows the driver, github.com/ncruces/go-sqlite3. It and
// modernc.org/sqlite were tried with a failing and a full disk at writes, syncs,
// truncations and allocations: both return errors and go on with the next commit. This one
// panics only when a connection needs more memory than it may have: see catchFault. It was
// chosen because its API is SQLite's own, without the pool of database/sql and its
// goroutine, because it locks by open file description where the system can, so that no
// other descriptor that is closed drops its locks, and because it allocates the shared
// memory before it is mapped, which makes a full disk an error instead of a SIGBUS on most
// file systems: see fault.go for the others.
type conn struct {
	*sqlite3.Conn
	path   string
	stmts  map[string]*sqlite3.Stmt
	vfs    string
	files  *openFiles
	broken bool // by a fault, and closed
}

// The ways to open a file.
const (
	readWrite = "rw"
	create    = "rwc"
	readOnly  = "ro"
	mainOnly  = "ro&immutable=1" // as if there were no write-ahead log
)

// busyTimeout is how long to wait for a person who looks into the file.
const busyTimeout = 2 * time.Second

// connect opens a file with a cache of so many bytes.
func connect(path, mode string, cache int) (*conn, error) {
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String() + "?mode=" + mode
	if mode != create {
		name += "&modeof=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20") // it takes a plus for one
	}
	system, known := vfs.Find("").(vfs.VFSFilename)
	if !known {
		return nil, errors.New("the driver of SQLite opens files in a way that is not known")
	}
	files, own := &openFiles{VFSFilename: system}, rand.Text()
	vfs.Register(own, files)
	name += "&vfs=" + own
	db, err := sqlite3.OpenFlags(name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE|sqlite3.OPEN_URI)
	if err != nil {
		vfs.Unregister(own)
		return nil, translate(path, err)
	}
	c := &conn{Conn: db, path: path, stmts: make(map[string]*sqlite3.Stmt), vfs: own, files: files}
	err = db.BusyTimeout(busyTimeout)
	if err == nil { // else a statement is compiled again each time that another consumer is bound
		_, err = db.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
	}
	if err == nil {
		err = c.guarded(func() error {
			return c.script(fmt.Sprintf(`PRAGMA cache_size = -%d; PRAGMA temp_store = memory; PRAGMA synchronous = FULL;
				PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = 0;
				PRAGMA journal_size_limit = %d; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF`, cache>>10, maxLog))
		})
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// close closes the connection. For the last one of a file, SQLite would make a
// checkpoint; the store makes its own.
func (c *conn) close() error {
	if c == nil || c.broken {
		return nil
	}
	for _, s := range c.stmts {
		_ = s.Close() // repeats the error of its last step
	}
	clear(c.stmts)
	defer vfs.Unregister(c.vfs)
	_, err := c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
	return translate(c.path, errors.Join(err, c.Conn.Close()))
}

// script runs statements without arguments and results. One after the other, as a
// statement that SQLite has for itself cannot be closed after a fault.
func (c *conn) script(sql string) error {
	for sql != "" {
		s, rest, err := c.Prepare(sql)
		if err == nil && s != nil {
			err = s.Exec()
			err = errors.Join(err, ignore(s.Close(), err))
		}
		if err != nil {
			return translate(c.path, err)
		}
		sql = rest
	}
	return nil
}

// prepare returns a statement, which stays prepared.
func (c *conn) prepare(sql string) (*sqlite3.Stmt, error) {
	if s := c.stmts[sql]; s != nil {
		return s, nil
	}
	s, _, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, translate(c.path, err)
	}
	c.stmts[sql] = s
	return s, nil
}

// rows begins a query. The caller steps through it and resets it.
func (c *conn) rows(sql string, args ...any) (*sqlite3.Stmt, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return nil, err
	}
	for i, arg := range args {
		if err := bind(s, i+1, arg); err != nil {
			return nil, translate(c.path, err)
		}
	}
	return s, nil
}

func bind(s *sqlite3.Stmt, i int, arg any) error {
	switch arg := arg.(type) {
	case nil:
		return s.BindNull(i)
	case int64:
		return s.BindInt64(i, arg)
	case int:
		return s.BindInt(i, arg)
	case uint64:
		return s.BindInt64(i, int64(arg))
	case bool:
		return s.BindBool(i, arg)
	case string:
		return s.BindText(i, arg)
	case []byte:
		return bindBlob(s, i, arg)
	}
	return fmt.Errorf("an argument is of the type %T", arg)
}

func bindBlob(s *sqlite3.Stmt, i int, blob []byte) error {
	if blob == nil {
		return s.BindZeroBlob(i, 0)
	}
	return s.BindBlob(i, blob)
}

// statement is a statement that runs many times. Its arguments are bound one by one, by their number, which
// allocates nothing, and stay bound until others are. The first error is returned by what runs it.
type statement struct {
	conn *conn
	stmt *sqlite3.Stmt
	err  error
}

func (c *conn) statement(sql string) statement {
	stmt, err := c.prepare(sql)
	return statement{c, stmt, err}
}

func (s *statement) int(i int, value int64) {
	if s.err == nil {
		s.err = s.stmt.BindInt64(i, value)
	}
}

func (s *statement) bool(i int, value bool) {
	if s.err == nil {
		s.err = s.stmt.BindBool(i, value)
	}
}

func (s *statement) text(i int, value string) {
	if s.err == nil {
		s.err = s.stmt.BindText(i, value)
	}
}

func (s *statement) blob(i int, value []byte) {
	if s.err == nil {
		s.err = bindBlob(s.stmt, i, value)
	}
}

// run runs a statement that has no results.
func (s *statement) run() error {
	if s.err == nil {
		s.err = s.stmt.Exec()
	}
	return translate(s.conn.path, s.err)
}

// step goes to the first row of a query, and reports whether there is one.
func (s *statement) step() bool {
	found := s.err == nil && s.stmt.Step()
	if s.err == nil {
		s.err = s.stmt.Err()
	}
	return found
}

// reset ends a query.
func (s *statement) reset() error {
	if s.stmt != nil {
		s.err = errors.Join(s.err, ignore(s.stmt.Reset(), s.err))
	}
	return translate(s.conn.path, s.err)
}

// forget closes statements that are of no use any more.
func (c *conn) forget(sqls ...string) {
	for _, sql := range sqls {
		if s := c.stmts[sql]; s != nil {
			_ = s.Close() // repeats the error of its last step
			delete(c.stmts, sql)
		}
	}
}

// run runs a statement that has no results.
func (c *conn) run(sql string, args ...any) error {
	s, err := c.rows(sql, args...)
	if err != nil {
		return err
	}
	return translate(c.path, s.Exec())
}

// each calls visit with the rows of a query, until it returns false.
func (c *conn) each(visit func(*sqlite3.Stmt) bool, sql string, args ...any) error {
	s, err := c.rows(sql, args...)
	if err != nil {
		return err
	}
	for s.Step() && visit(s) {
	}
	err = s.Err()
	return translate(c.path, errors.Join(err, ignore(s.Reset(), err)))
}

// ignore drops the error of a reset that only repeats that of a step.
func ignore(err, step error) error {
	if step != nil {
		return nil
	}
	return err
}

// first calls visit with the first row of a query, and reports whether there is one.
func (c *conn) first(visit func(*sqlite3.Stmt), sql string, args ...any) (found bool, err error) {
	err = c.each(func(s *sqlite3.Stmt) bool {
		found = true
		visit(s)
		return false
	}, sql, args...)
	return found, err
}

// number returns the first column of the first row of a query, or 0.
func (c *conn) number(sql string, args ...any) (n int64, err error) {
	_, err = c.first(func(s *sqlite3.Stmt) { n = s.ColumnInt64(0) }, sql, args...)
	return n, err
}

// text returns the first column of the first row of a query.
func (c *conn) text(sql string) (text string, err error) {
	_, err = c.first(func(s *sqlite3.Stmt) { text = s.ColumnText(0) }, sql)
	return text, err
}

// checkpoint moves what is in the write-ahead log to the file, as far as nobody reads
// it, and returns how many pages are left. It is to wait for readers if the log is to
// be empty.
func (c *conn) checkpoint(empty bool) (left int, err error) {
	mode := sqlite3.CHECKPOINT_PASSIVE
	if empty {
		mode = sqlite3.CHECKPOINT_TRUNCATE
	}
	pages, done, err := c.WALCheckpoint("main", mode)
	return pages - done, translate(c.path, err)
}

// onCommit has fn called after each commit with the pages in the write-ahead log.
func (c *conn) onCommit(fn func(pages int)) {
	c.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		fn(pages)
		return nil
	})
}

// within calls fn, and interrupts what the connection does when ctx ends.
func (c *conn) within(ctx context.Context, fn func() error) error {
	before := c.SetInterrupt(ctx)
	defer c.SetInterrupt(before)
	if err := fn(); err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	return nil
}

// failure is an error of the database, not one of the caller.
type failure struct{ error }

// Unwrap returns the error with the words.
func (f failure) Unwrap() error { return f.error }

// barely is how many bytes are free on a disk that counts as full: some file systems
// keep a little.
const barely = 256 << 10

// translate returns an error of the driver in words that name the file and say what to
// make of it.
func translate(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqlite3.NOTADB):
		return failure{damage{fmt.Errorf("the file %s is no queue, or is damaged: %w", path, err)}}
	case errors.Is(err, sqlite3.CORRUPT):
		return failure{damage{fmt.Errorf("the queue %s is damaged: %w", path, err)}}
	case errors.Is(err, sqlite3.FULL), errors.Is(err, syscall.ENOSPC), errors.Is(err, sqlite3.IOERR) && isFull(path):
		return failure{fmt.Errorf("%w: writing %s: %w", queue.ErrFull, path, syscall.ENOSPC)}
	case errors.Is(err, sqlite3.BUSY):
		return failure{fmt.Errorf("the queue %s is in use by another program: %w", path, err)}
	}
	return failure{fmt.Errorf("the queue %s: %w", path, err)}
}

// isBusy reports whether another program is in the way.
func isBusy(err error) bool { return errors.Is(err, sqlite3.BUSY) }

func isFull(path string) bool {
	free, err := freespace.Of(filepath.Dir(path))
	return err == nil && free < barely
}
