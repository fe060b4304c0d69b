// Package bolt keeps a queue in one file, by bbolt, with a journal beside it.
package bolt

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/commit"
	"github.com/caddy-instagram/webhooks/internal/freespace"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Store is a queue in a file. It implements queue.Store and queue.Maintainer.
//
// All changes go through group commits: those that come at the same time share a
// frame of the journal, and so a sync of the disk. They are made in a transaction
// of the file that stays open for many commits, and that all reads go through. A
// checkpoint ends it now and then: only that writes pages of the file.
//
// Which events are leased is known only in memory. After a crash nothing is
// leased, as nobody delivers any more.
//
// Who needs several of these takes them in this order: mu, state, a transaction
// that only reads.
type Store struct {
	path    string
	logger  func() *zap.Logger
	group   *commit.Group[*operation]
	closing chan struct{}

	mu      sync.RWMutex // held for writing while these are replaced
	db      *bbolt.DB    // nil: closed, or to be opened again
	journal *journal
	spoiled atomic.Bool // txn holds what was refused: it must begin anew
	reopen  bool        // so must these

	broken time.Time // when the disk failed last; of the one who commits
	cause  error     // why, or nil after a commit
	left   int64     // how many bytes were free on the disk then
	ended  time.Time // when the last checkpoint was tried; likewise
	tried  time.Time // when a repair was tried last; guarded by mu

	state   sync.Mutex // guards what follows
	txn     *txn
	counts  counts              // that are durable
	last    uint64              // id of the last event that is durable
	leased  map[uint64]string   // id → order
	busy    map[string]struct{} // orders with a leased event
	damaged map[uint64]struct{} // events that cannot be leased
	turn    int                 // of the lanes
	wake    chan struct{}       // closed when an event may have become due
}

// Open opens the queue in the file at path, which is made if it is missing. It
// fails if another process has the file open. Each time it has something to log,
// it asks logger where to.
func Open(path string, logger func() *zap.Logger) (*Store, error) {
	s := &Store{
		path:    path,
		logger:  logger,
		closing: make(chan struct{}),
		leased:  make(map[uint64]string),
		busy:    make(map[string]struct{}),
		damaged: make(map[uint64]struct{}),
		wake:    make(chan struct{}),
	}
	s.group = commit.NewGroup(s.commit)
	if err := createMissing(path); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// operation is a change, one of those that a commit makes.
type operation struct {
	// apply makes the change. An error that it returns refuses the change, of
	// which it must not have made any part then.
	apply func(*txn) error
	err   error
	size  int // of what it changes, about

	settles    uint64 // event whose lease ends
	exclusive  bool   // nothing may be leased before it is durable
	checkpoint bool   // the file must have all that was changed before
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

// commit makes the changes of a batch durable.
func (s *Store) commit(ops []*operation) error {
	if err := s.repair(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	start := time.Now()
	s.state.Lock()
	defer s.state.Unlock()
	if s.cause != nil && start.Sub(s.broken) < pause && !s.roomAgain() {
		return s.cause
	}
	if err := s.checkpointFor(ops, start); err != nil {
		s.failed(err)
		return err
	}
	frame, err := s.apply(ops, start)
	if err != nil { // of an event that is damaged, not of the disk
		s.takeBack()
		return err
	}
	if frame != nil {
		if err := s.write(frame, ops); err != nil {
			s.failed(err)
			return err
		}
		s.cause = nil
		commitSeconds.Observe(time.Since(start).Seconds())
		commitOperations.Observe(float64(len(ops)))
	}
	s.finish(ops)
	return nil
}

// write makes the frame of a batch durable. Meanwhile others may read: what is not
// durable is not leased, as long as it is new or its order is busy. The caller
// holds state.
func (s *Store) write(frame []byte, ops []*operation) error {
	if !slices.ContainsFunc(ops, func(op *operation) bool { return op.exclusive }) {
		s.state.Unlock()
		defer s.state.Lock()
	}
	return s.journal.append(frame)
}

// apply makes the changes of a batch, and returns their frame, or nil if there
// are none. The caller holds state.
func (s *Store) apply(ops []*operation, now time.Time) (frame []byte, err error) {
	defer guard(&err)()
	size := 0
	for _, op := range ops {
		size += op.size
	}
	s.txn.begin(now, size, s.free)
	for _, op := range ops {
		if op.apply != nil {
			op.err = op.apply(s.txn)
		}
	}
	return s.txn.finish()
}

// finish makes known what a commit has changed. The caller holds state.
func (s *Store) finish(ops []*operation) {
	t := s.txn
	t.reclaim()
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
// does not shrink, but whose free pages are used first. Not all of these count:
// each checkpoint leaves some, and not all make up runs that are long enough. What
// the next checkpoint needs is not free.
func (s *Store) free() (int64, error) {
	free, err := freespace.Of(filepath.Dir(s.path))
	pages := max(0, int64(s.db.Stats().FreeAlloc)-256<<10) / 2
	return free + pages - pagesFor(s.txn.bytes) - s.txn.seen.room(), err
}

// Free implements queue.SpaceTeller.
func (s *Store) Free(context.Context) (free int64, err error) {
	err = s.use(func(t *txn) (err error) {
		free, err = s.free()
		free -= settling * s.counts.pending
		return err
	})
	return free, err
}

// use calls fn with the open transaction, while nobody changes it.
func (s *Store) use(fn func(*txn) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.state.Lock()
	defer s.state.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	return guarded(func() error { return fn(s.txn) })
}

// view calls fn with a transaction that only reads, and finds what was changed up
// to the last checkpoint.
func (s *Store) view(fn func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	return guarded(func() error { return s.db.View(fn) })
}

// usable returns why the queue cannot be used, or nil. The caller holds mu.
func (s *Store) usable() error {
	switch {
	case s.isClosed():
		return queue.ErrClosed
	case s.db == nil || s.spoiled.Load():
		return errBroken
	}
	return nil
}

var errBroken = errors.New("the queue could not be written")

// Stats implements queue.Store.
func (s *Store) Stats(context.Context) (stats queue.Stats, err error) {
	err = s.use(func(t *txn) error {
		stats = queue.Stats{
			Pending:      s.counts.pending,
			PendingBytes: s.counts.bytes,
			InFlight:     int64(len(s.leased)),
			Dead:         s.counts.dead,
			Delivered:    s.counts.delivered,
		}
		if oldest := t.walk(queue.Pending, true, 0).here(); oldest != nil {
			stats.Oldest = recordAccepted(t.record(oldest.id()))
		}
		return nil
	})
	return stats, err
}

// Interface guards
var (
	_ queue.Store       = (*Store)(nil)
	_ queue.Maintainer  = (*Store)(nil)
	_ queue.SpaceTeller = (*Store)(nil)
)
