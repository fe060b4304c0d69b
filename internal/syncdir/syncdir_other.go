//go:build !unix

package syncdir

// Sync does nothing: this system cannot sync a directory, and relies on the journal
// of the file system.
func Sync(string) error { return nil }
