// Package syncdir syncs directories: a new file survives a power failure only if its
// entry in the directory does.
package syncdir

import (
	"io/fs"
	"os"
	"path/filepath"
)

// MkdirAll makes a directory and missing ones above it, with their entries on disk.
func MkdirAll(dir string, mode fs.FileMode) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode); err != nil && !os.IsExist(err) {
		return err
	}
	return Sync(parent)
}
