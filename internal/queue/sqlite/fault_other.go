//go:build !linux

package sqlite

import "github.com/ncruces/go-sqlite3/vfs"

// unlockIndex does nothing: the queue can be used again once Caddy was started again.
func unlockIndex(vfs.File) error { return nil }
