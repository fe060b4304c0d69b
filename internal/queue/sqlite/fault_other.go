//go:build !unix

package sqlite

import "errors"

// replacePage cannot help: the connection stays open.
func replacePage(uintptr) error { return errors.ErrUnsupported }
