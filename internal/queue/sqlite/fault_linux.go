package sqlite

import (
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// unlockIndex ends the locks on the index that a file has opened: closing it does not, as it
// stays mapped.
func unlockIndex(file vfs.File) error {
	shares, ok := file.(vfs.FileSharedMemory)
	if !ok {
		return nil
	}
	index, ok := shares.SharedMemory().(interface{ Fd() uintptr })
	if !ok || int(index.Fd()) < 0 {
		return nil
	}
	return unix.FcntlFlock(index.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK})
}
