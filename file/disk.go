package file

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// disk is the part of a file system that events are written through. Tests put
// a failing one in its place.
type disk interface {
	OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error)
	Stat(name string) (fs.FileInfo, error)
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

func (osDisk) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }
func (osDisk) Rename(from, to string) error          { return os.Rename(from, to) }
func (osDisk) Remove(name string) error              { return os.Remove(name) }
func (osDisk) SyncDir(name string) error             { return syncdir.Sync(name) }

// Mkdir makes a directory with just this mode, whatever the process's umask.
func (osDisk) Mkdir(name string, mode fs.FileMode) error {
	if err := os.Mkdir(name, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// makeDirs makes a directory, and those above it that are missing, for files of
// mode: whoever may read the files may enter it.
func makeDirs(d disk, dir string, mode fs.FileMode) error {
	_, err := d.Stat(dir)
	parent := filepath.Dir(dir)
	if !errors.Is(err, fs.ErrNotExist) || parent == dir {
		return err
	}
	if err := makeDirs(d, parent, mode); err != nil {
		return err
	}
	if err := d.Mkdir(dir, mode|mode>>2&0o111|0o300); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// syncDirs puts the entries of dir on disk, and the entry of dir itself and of
// those above it: this process, or another delivery, may have made them a moment
// ago. One above that may not be read was not made by this process.
func syncDirs(d disk, dir string) error {
	if err := d.SyncDir(dir); err != nil {
		return err
	}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		if err := d.SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// temporaryPrefix begins the names of files that are being written, or that a
// crash left behind. They are hidden from most readers.
const temporaryPrefix = ".instagram-"

// writeTemporary writes a new file in dir under a temporary name, and puts its
// text on disk. It leaves nothing behind if that fails.
func writeTemporary(d disk, dir string, mode fs.FileMode, text []byte) (name string, err error) {
	name = filepath.Join(dir, temporaryPrefix+rand.Text())
	f, err := d.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return "", err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, removeTemporary(d, name))
	}
	return name, nil
}

func removeTemporary(d disk, name string) error {
	if err := d.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
