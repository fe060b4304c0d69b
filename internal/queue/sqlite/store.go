// Package sqlite keeps a queue in a file of SQLite. schema.sql says what is in it.
//
// To read the package, begin there, then go on with store.go (commits), txn.go (what a
// commit changes), transitions.go (an event goes from state to state), and lease.go.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/commit"
	"github.com/caddy-instagram/webhooks/internal/freespace"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/symlink"
)

// Store is a queue in a file. It implements queue.Store, queue.Maintainer and
// queue.SpaceTeller.
//
// All changes are operations of group commits: those that come at the same time share a
// transaction, and so a sync of the disk. Leases are operations as well, although they
// seldom write: so everything happens one after the other, and nothing that is leased,
// listed or counted is lost by a crash.
//
// Lock order: sides, mu.
type Store struct {
	path   string
	logger func() *zap.Logger
	group  *commit.Group[*operation]
	lock   *fileLock

	life       context.Context // ends with Close
	end        func()
	checkpoint chan struct{} // has a token when the write-ahead log is long
	ended      chan struct{} // closed when no checkpoints are made any more

	sides sync.RWMutex // held for reading by who uses a connection of its own

	mu      sync.Mutex // guards what follows, and is held for a commit
	db      *conn      // nil: closed, or to be opened again
	logged  int64      // bytes in the write-ahead log that may not be in the file yet
	read    int        // pages that were in it when somebody read in the way of a checkpoint; 0: nobody did
	memory  memory
	loaded  bool // memory holds what the file does
	reserve *reserve

	fault   error         // the last one
	faulted time.Time     // when; zero: never
	reopen  time.Duration // how long after it the file is opened again
}

// guarded calls fn, which uses the connection of the store. After a fault, it is closed, and
// what the file holds is no longer known. The caller holds mu.
func (s *Store) guarded(fn func() error) error {
	db := s.db
	err := db.guarded(fn)
	if db.broken {
		s.db, s.loaded = nil, false
		if s.reopen = max(firstReopen, min(2*s.reopen, maxReopen)); time.Since(s.faulted) > 10*maxReopen {
			s.reopen = 0
		}
		s.fault, s.faulted = err, time.Now()
	}
	return err
}

// Open opens the queue in the file at path, which is made if it is missing. It fails if
// another process has the file open. Each time it has something to log, it asks logger
// where to.
func Open(path string, logger func() *zap.Logger) (*Store, error) {
	return OpenWith(path, logger, Options{})
}

// Options are those of OpenWith.
type Options struct {
	AcceptLoss bool // goes on with a file that Open refuses with ErrUnclean
}

// OpenWith is Open with options.
func OpenWith(path string, logger func() *zap.Logger, o Options) (*Store, error) {
	// By whichever name the file is opened, it has one lock and one write-ahead log.
	target, err := symlink.Follow(path)
	if err != nil { // its disk may not be mounted
		return nil, fmt.Errorf("the queue %s is a symbolic link that leads to no file: %w", path, err)
	}
	path = target
	s := &Store{
		path:       path,
		logger:     logger,
		checkpoint: make(chan struct{}, 1),
		ended:      make(chan struct{}),
		reserve:    &reserve{path: path + reserveSuffix},
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.group = commit.NewGroup(s.commit)
	if err := s.openFirst(o.AcceptLoss); err != nil {
		return nil, err
	}
	go s.checkpoints()
	return s, nil
}

// Close implements queue.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.isClosed()
	s.end()
	s.mu.Unlock()
	if closed {
		return nil
	}
	<-s.ended
	s.sides.Lock()
	defer s.sides.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.closeFile(), s.lock.release())
}

func (s *Store) isClosed() bool { return s.life.Err() != nil }

// usable returns why the queue cannot be used, or nil. The caller holds mu.
func (s *Store) usable() error {
	if s.isClosed() {
		return queue.ErrClosed
	}
	if s.db == nil { // since a compaction that failed, or a fault
		if time.Since(s.faulted) < s.reopen {
			return s.fault
		}
		return s.openFile()
	}
	return nil
}

// aside calls fn with a connection of its own, so that commits go on meanwhile.
func (s *Store) aside(ctx context.Context, fn func(*conn) error) error {
	s.sides.RLock()
	defer s.sides.RUnlock()
	if s.isClosed() {
		return queue.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	db, err := connect(s.path, readWrite, readerCache)
	if err != nil {
		return err
	}
	err = db.guarded(func() error { return db.within(ctx, func() error { return fn(db) }) })
	if s.isClosed() {
		err = queue.ErrClosed
	}
	return errors.Join(err, db.close())
}

// operation is what a commit does for one caller.
type operation struct {
	// apply makes the change. An error that is no failure of the database refuses the
	// change, of which apply must not have made any part then.
	apply func(*txn) error
	err   error
	grows bool // needs room that settling may need as well
}

// do has an operation done by the next commit.
func (s *Store) do(ctx context.Context, op *operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.group.Do(op); err != nil {
		return err
	}
	return op.err
}

// commit does the operations of a batch. When that fails, it leaves out those that may
// be the reason: what fills the disk, comes upon damage, or needs too much memory.
func (s *Store) commit(ops []*operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if s.reserve.gone() && s.reserve.make() != nil {
		ops = refuse(ops, fullError(s.path, errReserve))
		if s.logged > s.reserve.size/4 { // else the log takes all the room, and the file can never grow
			s.makeRoom()
		}
	}
	err := s.apply(ops)
	if errors.Is(err, queue.ErrFull) {
		if ops = refuse(ops, err); len(ops) == 0 {
			return nil
		}
		s.makeRoom()
		err = s.apply(ops)
	}
	if (errors.Is(err, ErrDamaged) || errors.Is(err, errDriver)) && len(ops) > 1 {
		for _, op := range ops {
			if err := s.apply([]*operation{op}); err != nil {
				op.err = err // else it is that of apply: the operation may be refused
			}
		}
		err = nil
	}
	return err
}

// refuse refuses the operations that grow the file, and returns the others.
func refuse(ops []*operation, err error) (others []*operation) {
	for _, op := range ops {
		if op.grows {
			op.err = err
		} else {
			others = append(others, op)
		}
	}
	return others
}

// apply does operations in one transaction: all, or, when it returns an error, none.
// The caller holds mu.
func (s *Store) apply(ops []*operation) (err error) {
	if len(ops) == 0 {
		return nil
	}
	if err := s.usable(); err != nil {
		return err
	}
	start := time.Now()
	t := s.begin(start)
	committed := false
	defer func() {
		if !committed { // or an operation has panicked
			err = errors.Join(err, t.rollback())
		}
	}()
	if err := s.guarded(func() error { return t.run(ops) }); err != nil {
		return err
	}
	committed = true
	if t.dirty {
		commitSeconds.Observe(time.Since(start).Seconds())
		commitOperations.Observe(float64(len(ops)))
	}
	return nil
}

// free returns how many bytes can be written: on the disk, and in the file, which does
// not shrink, but whose free pages are used first. What the next checkpoint needs is not
// free.
func (s *Store) free() (int64, error) {
	pages, err := s.db.number("PRAGMA freelist_count")
	if err != nil {
		return 0, err
	}
	free, err := freespace.Of(filepath.Dir(s.path))
	return free + pages*pageSize - s.logged, err
}

// space is free, but asks only once.
func (t *txn) space() (room int64, err error) {
	if t.room == 0 {
		t.room, err = t.free()
	}
	return t.room, err
}

// Free implements queue.SpaceTeller.
func (s *Store) Free(ctx context.Context) (free int64, err error) {
	err = s.do(ctx, &operation{apply: func(t *txn) (err error) {
		free, err = s.free()
		free -= settling * s.memory.pending()
		return err
	}})
	return free, err
}

// Stats implements queue.Store.
func (s *Store) Stats(ctx context.Context) (all []queue.Stats, err error) {
	for more := true; more && err == nil; {
		err = s.do(ctx, &operation{apply: func(t *txn) (err error) {
			all, more, err = t.stats()
			return err
		}})
	}
	slices.SortFunc(all, func(a, b queue.Stats) int { return cmp.Compare(a.Consumer, b.Consumer) })
	return all, err
}

// stats returns the statistics, unless there is more to be looked at for them.
func (t *txn) stats() (all []queue.Stats, more bool, err error) {
	for _, c := range t.memory.consumers {
		if c.name == "" {
			continue
		}
		oldest, unknown, err := t.oldest(c)
		if err != nil {
			return nil, false, err
		}
		more = more || unknown
		all = append(all, queue.Stats{
			Consumer:     c.name,
			Paused:       c.paused,
			Pending:      c.counts.pending,
			PendingBytes: c.counts.bytes,
			InFlight:     int64(len(c.leased)),
			Dead:         c.counts.dead,
			Delivered:    c.counts.delivered,
			Oldest:       oldest,
		})
	}
	return all, more, nil
}

// Interface guards
var (
	_ queue.Store       = (*Store)(nil)
	_ queue.Maintainer  = (*Store)(nil)
	_ queue.SpaceTeller = (*Store)(nil)
)
