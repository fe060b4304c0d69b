//go:build unix

package syncdir

import (
	"errors"
	"os"
	"syscall"
)

// Sync puts the entries of a directory on disk. Some file systems do not know
// that for directories; there is nothing more to be had from them.
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
