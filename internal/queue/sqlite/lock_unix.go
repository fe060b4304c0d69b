//go:build unix

package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockTimeout is how long another process may take to let go of the file.
const lockTimeout = 3 * time.Second

// fileLock is a lock against other processes. It is on a file of its own: the locks of
// SQLite's files end when any descriptor of these is closed.
type fileLock struct{ *os.File }

func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	} else if err == nil {
		keepOwner(f, strings.TrimSuffix(path, lockSuffix))
	}
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(50 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &fileLock{f}, nil
		}
		held := errors.Is(err, unix.EWOULDBLOCK)
		if held && time.Now().After(deadline) {
			return nil, errors.Join(ErrLocked, f.Close())
		}
		if !held && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
	}
}

// keepOwner gives a new file the owner of the queue beside it, if this process may: the
// user of Caddy must be able to open it when root has looked into a copy.
func keepOwner(f *os.File, queue string) {
	if info, err := os.Stat(queue); err == nil {
		if was, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(was.Uid), int(was.Gid))
		}
	}
}

// release ends the lock, also for a process that is just being started by this one.
func (l *fileLock) release() error {
	return errors.Join(unix.Flock(int(l.Fd()), unix.LOCK_UN), l.Close())
}
