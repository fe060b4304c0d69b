package file

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is the part of a file system that events are written through. Tests put
// a failing one in its place.
type disk interface {
	OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error)
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Mkdir(name string, mode fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(name string) error
}

// diskFile is an open file of a disk.
type diskFile interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Chmod(fs.FileMode) error
	Truncate(size int64) error
	Sync() error
}

// osDisk is the disk of the operating system.
type osDisk struct{}

func (osDisk) OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err // a nil *os.File is not a nil diskFile
	}
	return f, nil
}

func (osDisk) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (osDisk) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osDisk) Mkdir(name string, mode fs.FileMode) error  { return os.Mkdir(name, mode) }
func (osDisk) Rename(from, to string) error               { return os.Rename(from, to) }
func (osDisk) Remove(name string) error                   { return os.Remove(name) }
func (osDisk) SyncDir(name string) error                  { return syncDir(name) }

// makeDirs makes a directory and those above it that are missing, and puts
// each new entry on disk.
func makeDirs(d disk, dir string, mode fs.FileMode) error {
	if _, err := d.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(d, parent, mode); err != nil {
		return err
	}
	if err := d.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(parent)
}

// dirMode is the mode of directories for files of mode: whoever may read may
// also enter.
func dirMode(mode fs.FileMode) fs.FileMode {
	return mode | mode>>2&0o111 | 0o300
}
