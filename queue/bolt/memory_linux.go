package bolt

import (
	bbolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// mapsSparsely tells that a file can be mapped beyond its end.
const mapsSparsely = true

// reclaim takes the pages of the file that were read out of the memory of this
// process. They stay in the cache of the system. As long as the transaction
// lasts, they stay mapped where they are.
func reclaim(tx *bbolt.Tx) error {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
	if errno != 0 {
		return errno
	}
	return nil
}
