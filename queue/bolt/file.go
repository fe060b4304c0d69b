package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// lockTimeout is how long another process may take to let go of the file.
const lockTimeout = 3 * time.Second

// mapped is how much address space is set aside. A reader, such as a check, that
// takes long holds up writers only when the file grows beyond that.
const mapped = 1 << 30

func options() *bbolt.Options {
	o := &bbolt.Options{
		Timeout: lockTimeout,
		// Else a commit would write the list of all free pages, which is long
		// after a large backlog was delivered.
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	}
	if mapsSparsely {
		o.InitialMmapSize = mapped
	}
	return o
}

func (s *Store) open() error {
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		if err := create(s.path); err != nil {
			return fmt.Errorf("making the queue %s: %w", s.path, err)
		}
	}
	db, err := openFile(s.path)
	if err != nil {
		return err
	}
	if err := s.load(db); err != nil {
		return errors.Join(fmt.Errorf("opening the queue %s: %w", s.path, err), db.Close())
	}
	s.db, s.buffer = db, nil
	return nil
}

// create makes an empty queue. It has its name only once it is whole and on
// disk, so that a crash leaves nothing that cannot be opened.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := syncdir.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(unfinished, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(createBuckets), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncdir.Sync(dir)
}

// openFile opens the file and translates errors into advice.
func openFile(path string) (db *bbolt.DB, err error) {
	if err = look(path); err == nil {
		err = guarded(func() (err error) {
			db, err = bbolt.Open(path, 0o600, options())
			return err
		})
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("the queue %s is in use by another process: is another Caddy running?", path)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("the file %s is no queue, or is damaged: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("opening the queue %s: %w", path, err)
	}
	return db, nil
}

// load makes sure that what is in the file is on disk, and reads the counts.
func (s *Store) load(db *bbolt.DB) error {
	pageSize := int64(db.Info().PageSize)
	if err := overwrite(s.path, func(f *os.File) error {
		// A process that ended after a failed sync may have left the head of
		// the file in the cache only.
		head := make([]byte, 2*pageSize)
		if _, err := f.ReadAt(head, 0); err != nil {
			return err
		}
		_, err := f.WriteAt(head, 0)
		return err
	}); err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return errors.New("this is the file of another program")
		}
		if version := meta.Get(keyVersion); len(version) != 8 || binary.BigEndian.Uint64(version) != layoutVersion {
			return fmt.Errorf("it has version %x of the layout, this program knows version %d", version, layoutVersion)
		}
		s.last = tx.Bucket(bucketEvents).Sequence()
		_ = reclaim(tx)
		return s.counts.decode(meta.Get(keyCounts))
	})
}

// overwrite calls fn with the file and syncs it.
func overwrite(path string, fn func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err = fn(f); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// failed takes note of a commit that failed. The caller holds mu for reading
// and is the only one to commit.
func (s *Store) failed(id int, cause error) {
	s.broken, s.cause = time.Now(), cause
	s.logger.Error("the queue could not be written", zap.String("path", s.path), zap.Error(cause))
	_ = s.db.View(func(tx *bbolt.Tx) error {
		if tx.ID() >= id {
			// The head of the file was written, but nobody knows whether it
			// is on disk. To go on from there could destroy the queue.
			s.doubt.Store(int64(id))
		}
		return nil
	})
}

// repair takes back a transaction that is in doubt: what it was to store was
// refused. For this the page that made it valid is erased, which leaves the
// transaction before it; no page of that one has been written to yet.
func (s *Store) repair() error {
	s.mu.RLock()
	usable := s.usable()
	s.mu.RUnlock()
	if !errors.Is(usable, errDoubt) {
		return usable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if usable := s.usable(); !errors.Is(usable, errDoubt) {
		return usable
	}
	if time.Since(s.broken) < pause {
		return errDoubt
	}
	s.broken = time.Now()
	if s.db != nil {
		if err := s.erase(int64(s.db.Info().PageSize)); err != nil {
			return fmt.Errorf("%w, nor taken back: %w", errDoubt, err)
		}
		err := s.db.Close()
		s.db = nil
		if err != nil {
			return fmt.Errorf("%w: %w", errDoubt, err)
		}
	}
	if err := s.open(); err != nil {
		return err
	}
	s.doubt.Store(0)
	s.cause = nil
	s.logger.Info("the queue can be written again", zap.String("path", s.path))
	return nil
}

// erase makes the transaction that is in doubt invalid.
func (s *Store) erase(pageSize int64) error {
	return overwrite(s.path, func(f *os.File) error {
		// bbolt's check panics unless a page says which one it is.
		const header = 16
		page, at := make([]byte, pageSize), s.doubt.Load()%2*pageSize
		if _, err := f.ReadAt(page[:header], at); err != nil {
			return err
		}
		_, err := f.WriteAt(page, at)
		return err
	})
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
