package bolt

import (
	"os"

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

// readAhead has the system read a file into its cache from its beginning to its
// end. A scan of the tree has it read page by page, in no order, and waits for
// each. If this fails, the scan just takes longer.
func readAhead(path string, size int64) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	const part = 2 << 20 // the system may take no more at a time
	for at := int64(0); at < size; at += part {
		if err := unix.Fadvise(int(f.Fd()), at, part, unix.FADV_WILLNEED); err != nil {
			break
		}
	}
	_ = f.Close() // was only read
}
