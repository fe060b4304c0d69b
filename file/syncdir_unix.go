//go:build unix

package file

import (
	"errors"
	"os"
)

// syncDir puts the entries of a directory on disk.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
