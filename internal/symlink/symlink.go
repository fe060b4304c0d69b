// Package symlink follows symbolic links to files that are renamed, rolled or written anew:
// the link must stay, and what is beside the file must be found.
package symlink

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Follow returns the file that path leads to as a symbolic link, or path itself if it is none
// or is missing. A link to a missing file is an error.
func Follow(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return path, nil // opening it tells what is wrong
	}
	return filepath.EvalSymlinks(path)
}
