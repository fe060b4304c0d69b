package bolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/freespace"
)

// sync makes the file have all that was changed so far, for those that read it.
func (s *Store) sync(ctx context.Context) error { return s.do(ctx, &operation{checkpoint: true}) }

// A checkpoint is due after so many changes, bytes of frames, or bytes of the
// journal. Until then what was changed is in memory. Tests set the first lower.
var maxOpenChanges = 1 << 12

const (
	maxOpenBytes = 8 << 20
	maxJournal   = 16 << 20
)

// pagesFor returns how many bytes a checkpoint writes for frames of so many, at
// most, beside a run of identities.
func pagesFor(bytes int) int64 { return 2*int64(bytes) + 64<<10 }

// checkpointFor makes a checkpoint if one is due or one of the operations asks
// for it. After a failure it makes room in the journal, and when something did
// not fit, in the file. The caller holds state.
func (s *Store) checkpointFor(ops []*operation, now time.Time) error {
	t := s.txn
	asked := s.cause != nil || t.starved && now.Sub(s.ended) > pause ||
		slices.ContainsFunc(ops, func(op *operation) bool { return op.checkpoint })
	switch {
	case t.flushAll, t.changes > 0 && asked, t.changes > maxOpenChanges, t.bytes > maxOpenBytes, s.journal.end > maxJournal:
		return s.checkpoint()
	}
	return nil
}

// checkpoint writes what was changed to the file, and begins the next
// transaction. The caller holds mu for reading, and state.
func (s *Store) checkpoint() error {
	t := s.txn
	id := t.tx.ID()
	s.ended = time.Now()
	t.now = micros(s.ended)
	err := guarded(func() error {
		if err := t.store(); err != nil {
			return err
		}
		return t.tx.Commit()
	})
	if err != nil {
		// The changes are in the journal, whatever has become of the file.
		s.reopen = s.wasWritten(id)
		return err
	}
	if err := s.begin(t.buffer, t.seen); err != nil {
		return err
	}
	s.journal.shrink()
	return nil
}

// wasWritten reports whether the head of the file is that of a transaction whose
// commit failed: nobody knows then whether it is on disk.
func (s *Store) wasWritten(id int) (written bool) {
	err := guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			written = tx.ID() >= id
			return nil
		})
	})
	return written || err != nil
}

// begin begins a transaction of the file. Frames of the one before do not count
// any more.
func (s *Store) begin(b *buffer, known *seen) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	err = guarded(func() error {
		s.txn, err = newTxn(tx, b, known)
		return err
	})
	if err != nil {
		s.txn = nil
		return errors.Join(err, tx.Rollback())
	}
	s.journal.begin(uint64(tx.ID()))
	return nil
}

// resume begins a transaction with what is in the file and in the journal.
func (s *Store) resume() error {
	var b *buffer
	err := guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) (err error) {
			b, err = loadBuffer(tx)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := s.begin(b, newSeen()); err != nil {
		return err
	}
	err = guarded(func() error {
		if err := s.journal.replay(s.txn.replay); err != nil {
			return err
		}
		damaged, err := s.txn.seen.load()
		if damaged > 0 {
			s.logger().Error("a part of the identities in the queue is damaged: events that come again may be delivered again", zap.String("path", s.path))
		}
		return err
	})
	if err != nil {
		return errors.Join(err, s.abandon())
	}
	s.counts, s.last = s.txn.counts, s.txn.last
	return nil
}

// failed takes note of a failure of the disk, and takes back what a commit has
// changed. The caller holds mu for reading, and state, and is the only one to
// commit.
func (s *Store) failed(cause error) {
	s.broken, s.cause = time.Now(), cause
	s.logger().Error("the queue could not be written", zap.String("path", s.path), zap.Error(cause))
	s.takeBack()
	var err error
	if s.left, err = freespace.Of(filepath.Dir(s.path)); err != nil {
		s.left = math.MaxInt64
	}
}

// roomAgain reports whether the disk was full and there is room again, enough for
// the checkpoint that comes after a failure: then there is nothing to wait for.
// The caller holds state.
func (s *Store) roomAgain() bool {
	if !errors.Is(s.cause, syscall.ENOSPC) {
		return false
	}
	free, err := freespace.Of(filepath.Dir(s.path))
	return err == nil && free-s.left > pagesFor(s.txn.bytes)+s.txn.seen.room()
}

// takeBack takes back what a commit has changed that failed.
func (s *Store) takeBack() {
	if s.reopen || s.restore() != nil {
		s.spoiled.Store(true)
	}
}

// pause is how long nothing is tried again after a failure, unless there is room
// again.
const pause = 500 * time.Millisecond

// restore begins the transaction anew, without what was refused.
func (s *Store) restore() error {
	if err := s.drop(); err != nil {
		return err
	}
	return s.resume()
}

// drop takes back what was refused, which leaves no transaction.
func (s *Store) drop() error {
	if err := s.journal.cut(); err != nil {
		return err
	}
	return s.abandon()
}

// repair does what failed could not do.
func (s *Store) repair() error {
	s.mu.RLock()
	usable := s.usable()
	s.mu.RUnlock()
	if !errors.Is(usable, errBroken) {
		return usable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if usable := s.usable(); !errors.Is(usable, errBroken) {
		return usable
	}
	if time.Since(s.tried) < pause {
		return fmt.Errorf("%w: %w", errBroken, s.cause)
	}
	s.tried = time.Now()
	if err := s.replace(); err != nil {
		s.cause = err
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	s.spoiled.Store(false)
	s.logger().Info("the queue can be used again", zap.String("path", s.path))
	return nil
}

// replace opens the file again if there is no other way. The caller holds mu.
func (s *Store) replace() error {
	if s.db == nil {
		return s.open()
	}
	if !s.reopen {
		return s.restore()
	}
	if err := s.drop(); err != nil {
		return err
	}
	if err := s.closeFiles(false); err != nil {
		return err
	}
	return s.open()
}

// abandon ends the open transaction without a trace in the file.
func (s *Store) abandon() error {
	t := s.txn
	s.txn = nil
	if t == nil {
		return nil
	}
	err := guarded(t.tx.Rollback)
	if errors.Is(err, bbolterrors.ErrTxClosed) {
		err = nil // its commit failed
	}
	return err
}

// closeFiles closes the file and the journal, and removes a journal that is not
// needed any more: before another process, which waits for the file, makes its own.
func (s *Store) closeFiles(complete bool) error {
	db, journal := s.db, s.journal.file
	s.db, s.journal, s.reopen = nil, nil, false
	err := journal.Close()
	if complete {
		err = errors.Join(err, os.Remove(journal.Name()))
	}
	return errors.Join(err, db.Close())
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
	complete := s.complete()
	if err := s.journal.cut(); err != nil {
		s.logger().Error("the last change of the queue was refused, but may be in it", zap.String("path", s.path), zap.Error(err))
	}
	err := s.abandon()
	if complete {
		// The list of free pages need not be gathered at the next start.
		s.db.NoFreelistSync = false
		if err := guarded(func() error { return s.db.Update(func(*bbolt.Tx) error { return nil }) }); err != nil {
			s.logger().Warn("closing the queue", zap.String("path", s.path), zap.Error(err))
		}
	}
	return errors.Join(err, s.closeFiles(complete))
}

// complete makes the file have all, and reports whether it has. Else the journal
// has the rest. The caller holds mu.
func (s *Store) complete() bool {
	s.state.Lock()
	defer s.state.Unlock()
	if s.spoiled.Load() {
		return false
	}
	if s.txn.changes == 0 {
		return true
	}
	err := s.checkpoint()
	if err != nil {
		s.failed(err)
	}
	return err == nil
}
