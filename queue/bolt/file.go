package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

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

// open opens the file and the journal.
func (s *Store) open() error {
	db, err := openFile(s.path)
	if err != nil {
		return err
	}
	if err := guarded(func() error { return s.load(db) }); err != nil {
		return errors.Join(fmt.Errorf("opening the queue %s: %w", s.path, err), db.Close())
	}
	return nil
}

// createMissing makes an empty queue if there is none.
func createMissing(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it tells openFile
	}
	if err := create(path); err != nil {
		return fmt.Errorf("making the queue %s: %w", path, err)
	}
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
			db, err = openLocked(path)
			return err
		})
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("the queue %s is in use by another process: is another Caddy running?", path)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, damage{fmt.Errorf("the file %s is no queue, or is damaged: %w", path, err)}
	case err != nil:
		return nil, fmt.Errorf("opening the queue %s: %w", path, err)
	}
	return db, nil
}

// openLocked opens the file that has this path once it is locked: while this waits
// for the lock, whoever holds it may put a compacted file in its place.
func openLocked(path string) (*bbolt.DB, error) {
	for {
		var file *os.File
		o := options()
		o.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		}
		db, err := bbolt.Open(path, 0o600, o)
		if err != nil {
			return nil, err
		}
		opened, err := file.Stat()
		there, err2 := os.Stat(path)
		if err := errors.Join(err, err2); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		if os.SameFile(opened, there) {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
}

// load makes sure that what is in the file is on disk, and goes on with what is
// in the journal.
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
	var salt []byte
	if err := db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return errors.New("this is the file of another program")
		}
		if version := meta.Get(keyVersion); len(version) != 8 || binary.BigEndian.Uint64(version) != layoutVersion {
			return fmt.Errorf("it has version %x of the layout, this program knows version %d", version, layoutVersion)
		}
		salt = bytes.Clone(meta.Get(keySalt))
		_ = reclaim(tx)
		return nil
	}); err != nil {
		return err
	}
	journal, err := openJournal(s.path+journalSuffix, salt)
	if err != nil {
		return err
	}
	s.db, s.journal = db, journal
	if err = s.resume(); err == nil {
		if err = journal.secure(); err == nil {
			return nil
		}
		err = errors.Join(err, s.abandon())
	}
	s.db, s.journal = nil, nil
	return errors.Join(err, journal.file.Close())
}

// journalSuffix is what the name of the journal has after that of the file.
const journalSuffix = ".journal"

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

func (s *Store) isClosed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
