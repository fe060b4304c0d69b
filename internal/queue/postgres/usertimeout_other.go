//go:build !linux

package postgres

import "syscall"

// setUserTimeout does nothing: keepalives alone find out that the other side is gone.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
