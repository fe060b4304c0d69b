//go:build !unix

package file

// syncDir does nothing: this system cannot sync a directory. Its file system
// keeps entries in its journal.
func syncDir(string) error { return nil }
