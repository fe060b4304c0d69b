package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged is wrapped by errors that say what is wrong with a file.
var ErrDamaged = errors.New("the queue is damaged")

// damage is an error that wraps ErrDamaged, but has words of its own.
type damage struct{ error }

// Is reports whether the target is ErrDamaged.
func (damage) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the error with the words.
func (d damage) Unwrap() error { return d.error }

// guard makes a function return an error when it comes upon a page that is damaged
// or that the disk cannot read: bbolt panics then, or the memory that the file is
// mapped to faults. It is used as defer guard(&err)().
func guard(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			*err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}
}

func guarded(fn func() error) (err error) {
	defer guard(&err)()
	return fn()
}

// look reads a file that was not closed before it is opened for writing. bbolt
// does that, too, but in a goroutine of its own, where a panic would end the
// process.
func look(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	case info.Size() == 0:
		return errors.New("the file is empty")
	case info.Size() < 2*int64(os.Getpagesize()): // which begin it
		return bbolterrors.ErrInvalid
	}
	return guarded(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if err != nil {
			return err
		}
		if closed, err := wasClosed(db); closed || err != nil {
			return errors.Join(err, db.Close())
		}
		readAhead(path, info.Size())
		return errors.Join(db.View(readable), db.Close())
	})
}

// wasClosed reports whether the list of free pages is in the file, as Close
// leaves it, so that bbolt need not gather it. The page that tells is the first
// or the second one, depending on the transaction.
func wasClosed(db *bbolt.DB) (closed bool, err error) {
	const freelist = 16 + 16 + 16 // after the head of the page, four numbers, and the root
	err = db.View(func(tx *bbolt.Tx) error {
		f, err := os.Open(db.Path())
		if err != nil {
			return err
		}
		page := make([]byte, 8)
		_, err = f.ReadAt(page, int64(tx.ID()%2*db.Info().PageSize)+freelist)
		closed = binary.NativeEndian.Uint64(page) != math.MaxUint64
		return errors.Join(err, f.Close())
	})
	return closed, err
}

// readable reads all keys, and so all pages.
func readable(tx *bbolt.Tx) error {
	if size, err := size(tx.DB().Path()); err != nil || size < tx.Size() {
		return errors.Join(err, fmt.Errorf("%w: the file has %d bytes, want %d", ErrDamaged, size, tx.Size()))
	}
	return guarded(func() error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readBucket(b) })
	})
}

// readBucket also makes sure that keys are in order, and that the first one is
// where it is looked for: where bbolt finds that they are not, it ends the process.
func readBucket(b *bbolt.Bucket) error {
	var last []byte
	return b.ForEach(func(key, value []byte) error {
		if bytes.Compare(last, key) >= 0 || last == nil && !isFound(b, key) {
			return fmt.Errorf("%w: its keys are out of order", ErrDamaged)
		}
		last = key
		if value == nil {
			if nested := b.Bucket(key); nested != nil {
				return readBucket(nested)
			}
		}
		return nil
	})
}

func isFound(b *bbolt.Bucket, key []byte) bool {
	found, _ := b.Cursor().Seek(key)
	return bytes.Equal(found, key)
}
