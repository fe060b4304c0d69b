//go:build !unix

package syncdir

// Sync does nothing: this system cannot sync a directory. Its file system
// keeps entries in its journal.
func Sync(string) error { return nil }
