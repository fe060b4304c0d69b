//go:build unix

package sqlite

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// replacePage puts memory of this process in place of a page that a file is mapped to.
func replacePage(address uintptr) error {
	size := uintptr(os.Getpagesize())
	page := address &^ (size - 1)
	_, err := unix.MmapPtr(-1, 0, *(*unsafe.Pointer)(unsafe.Pointer(&page)), size,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED)
	return err
}
