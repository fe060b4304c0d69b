//go:build !unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
)

// fileLock is a lock against other processes: a file that exists only as long as it is
// held. On these systems, one that is open cannot be removed.
type fileLock struct{ *os.File }

func lockFile(path string) (*fileLock, error) {
	if err := removeMissing(path); err != nil {
		return nil, fmt.Errorf("%w %w", ErrLocked, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileLock{f}, nil
}

func (l *fileLock) release() error {
	return errors.Join(l.Close(), removeMissing(l.Name()))
}

// keepOwner does nothing: the directory decides who may open a new file.
func keepOwner(*os.File, string) {}
