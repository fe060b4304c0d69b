// Package bolt keeps a queue in one file, by bbolt.
package bolt

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/commit"
	"github.com/caddy-instagram/webhooks/internal/freespace"
	"github.com/caddy-instagram/webhooks/queue"
)

// Store is a queue in a file. It implements queue.Store and queue.Maintainer.
//
// All changes go through group commits: those that come at the same time share a
// transaction, and so a sync of the disk. Which events are leased is known only
// in memory. After a crash nothing is leased, as nobody delivers any more.
//
// Who needs several of these takes them in this order: mu, state, a transaction
// that reads.
type Store struct {
	path    string
	logger  *zap.Logger
	group   *commit.Group[*operation]
	closing chan struct{}

	mu     sync.RWMutex // held for writing while db is replaced
	db     *bbolt.DB    // nil: closed, or to be opened again
	doubt  atomic.Int64 // transaction that is perhaps on disk and perhaps not; 0: none
	broken time.Time    // when a commit failed last
	cause  error        // why
	buffer *buffer      // nil: to be read; of the one who commits

	state  sync.Mutex // guards what follows
	counts counts
	last   uint64              // id of the last event that is known to be on disk
	leased map[uint64]string   // id → order
	busy   map[string]struct{} // orders with a leased event
	turn   int                 // of the lanes
	wake   chan struct{}       // closed when an event may have become due
}

// Open opens the queue in the file at path, which is made if it is missing. It
// fails if another process has the file open.
func Open(path string, logger *zap.Logger) (*Store, error) {
	s := &Store{
		path:    path,
		logger:  logger,
		closing: make(chan struct{}),
		leased:  make(map[uint64]string),
		busy:    make(map[string]struct{}),
		wake:    make(chan struct{}),
	}
	s.group = commit.NewGroup(s.commit)
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes the file. It implements queue.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return nil
	}
	close(s.closing)
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	if s.doubt.Load() != 0 {
		if err := s.erase(int64(db.Info().PageSize)); err != nil {
			s.logger.Error("the last change of the queue was refused, but may be in it", zap.String("path", s.path), zap.Error(err))
		}
	} else if s.cause == nil {
		// The list of free pages need not be gathered at the next start.
		db.NoFreelistSync = false
		if err := db.Update(func(*bbolt.Tx) error { return nil }); err != nil {
			s.logger.Warn("closing the queue", zap.String("path", s.path), zap.Error(err))
		}
	}
	return db.Close()
}

// operation is a change, one of those that a transaction makes.
type operation struct {
	// apply makes the change. An error that it returns refuses the change, of
	// which it must not have made any part then.
	apply func(*txn) error
	err   error

	settles uint64 // event whose lease ends
}

func (s *Store) do(ctx context.Context, op *operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.group.Do(op); err != nil {
		return err
	}
	return op.err
}

// pause is how long nothing is tried after a failed commit. bbolt reads the
// whole file again each time.
const pause = 500 * time.Millisecond

// commit makes the changes of a batch durable, in one transaction.
func (s *Store) commit(ops []*operation) (err error) {
	defer guard(&err)()
	if err := s.repair(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	start := time.Now()
	if s.cause != nil && start.Sub(s.broken) < pause {
		return s.cause
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	b := s.buffer
	s.buffer = nil // until it is sure that it is what the file says
	if b == nil {
		if b, err = loadBuffer(tx); err != nil {
			return err
		}
	}
	s.state.Lock()
	t := newTxn(tx, b, s.counts, start)
	t.last = s.last
	s.state.Unlock()
	for _, op := range ops {
		op.err = op.apply(t)
	}
	if t.dirty {
		t.finish()
	}
	if t.err != nil {
		return t.err
	}
	if t.dirty {
		id := tx.ID()
		if err := tx.Commit(); err != nil {
			s.failed(id, err)
			return err
		}
		s.cause = nil
		commitSeconds.Observe(time.Since(start).Seconds())
		commitOperations.Observe(float64(len(ops)))
	}
	s.buffer = b
	s.finish(t, ops)
	return nil
}

// finish makes known what a transaction has changed.
func (s *Store) finish(t *txn, ops []*operation) {
	s.state.Lock()
	defer s.state.Unlock()
	s.counts, s.last = t.counts, t.last
	wake := t.wake
	for _, op := range ops {
		if op.settles != 0 {
			s.release(op.settles)
			wake = true
		}
	}
	if wake {
		s.notify()
	}
}

// notify wakes those that wait for due events. The caller holds state.
func (s *Store) notify() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// free returns how many bytes can be written: on the disk, and in the file, which
// does not shrink, but whose free pages are used first.
func (s *Store) free() (int64, error) {
	free, err := freespace.Of(filepath.Dir(s.path))
	return free + int64(s.db.Stats().FreeAlloc), err
}

// use calls fn while db can be used.
func (s *Store) use(fn func() error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	return guarded(fn)
}

// view calls fn with a read-only transaction.
func (s *Store) view(fn func(*bbolt.Tx) error) error {
	return s.use(func() error { return s.db.View(fn) })
}

// usable returns why db cannot be used, or nil. The caller holds mu.
func (s *Store) usable() error {
	switch {
	case s.isClosed():
		return queue.ErrClosed
	case s.db == nil || s.doubt.Load() != 0:
		return errDoubt
	}
	return nil
}

var errDoubt = errors.New("the last change of the queue could not be synced to disk")

// Stats implements queue.Store.
func (s *Store) Stats(context.Context) (stats queue.Stats, err error) {
	err = s.use(func() error {
		s.state.Lock()
		stats = queue.Stats{
			Pending:      s.counts.pending,
			PendingBytes: s.counts.bytes,
			InFlight:     int64(len(s.leased)),
			Dead:         s.counts.dead,
			Delivered:    s.counts.delivered,
		}
		s.state.Unlock()
		return s.db.View(func(tx *bbolt.Tx) error {
			if key, _ := tx.Bucket(bucketPending).Cursor().First(); key != nil {
				stats.Oldest = recordAccepted(tx.Bucket(bucketEvents).Get(key))
			}
			return nil
		})
	})
	return stats, err
}

// Interface guards
var (
	_ queue.Store      = (*Store)(nil)
	_ queue.Maintainer = (*Store)(nil)
)
