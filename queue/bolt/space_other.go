//go:build !linux && !darwin && !freebsd && !windows

package bolt

import "errors"

// freeSpace is not known on this system: a commit will tell.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
