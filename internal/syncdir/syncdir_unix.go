//go:build unix

package syncdir

import (
	"errors"
	"os"
	"syscall"
)

// Sync puts the entries of a directory on disk. Where the file system does not
// support that, it does nothing.
func Sync(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, dir.Close())
}
