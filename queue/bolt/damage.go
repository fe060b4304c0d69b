package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bbolt "go.etcd.io/bbolt"
)

// guard makes a function return an error when it comes upon a page that is damaged
// or that the disk cannot read: bbolt panics then, or the memory that the file is
// mapped to faults. It is used as defer guard(&err)().
func guard(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			*err = fmt.Errorf("the queue is damaged: %v", r)
		}
	}
}

func guarded(fn func() error) (err error) {
	defer guard(&err)()
	return fn()
}

// look reads the file before it is opened for writing. bbolt does that, too, but
// in a goroutine of its own, where a panic would end the process.
func look(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Size() == 0 {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return err
	}
	return guarded(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if err != nil {
			return err
		}
		return errors.Join(db.View(readable), db.Close())
	})
}

// readable reads all keys, and so all pages.
func readable(tx *bbolt.Tx) error {
	if size, err := size(tx.DB().Path()); err != nil || size < tx.Size() {
		return errors.Join(err, fmt.Errorf("the queue is damaged: the file has %d bytes, want %d", size, tx.Size()))
	}
	return guarded(func() error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readBucket(b) })
	})
}

func readBucket(b *bbolt.Bucket) error {
	return b.ForEach(func(key, value []byte) error {
		if value == nil {
			if nested := b.Bucket(key); nested != nil {
				return readBucket(nested)
			}
		}
		return nil
	})
}
