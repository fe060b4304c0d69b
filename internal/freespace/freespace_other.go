//go:build !linux && !darwin && !freebsd && !windows

package freespace

import "errors"

// Of is not known on this system.
func Of(string) (int64, error) { return 0, errors.ErrUnsupported }
