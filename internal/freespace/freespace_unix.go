//go:build linux || darwin || freebsd

package freespace

import (
	"math"

	"golang.org/x/sys/unix"
)

// Of returns how many bytes are free on the file system of dir.
func Of(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	free := float64(stat.Bavail) * float64(stat.Bsize)
	return int64(min(free, math.MaxInt64/2)), nil
}
