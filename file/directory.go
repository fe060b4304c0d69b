package file

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/internal/commit"
)

// directory is a place for events as files of their own. A file appears under
// its name only when all of it is on disk. The same event has the same name,
// so one that is sent again while its file is there replaces it.
type directory struct {
	path    string
	disk    disk
	options atomic.Pointer[options]
	sync    *commit.Group[struct{}]
	known   atomic.Bool // the directory itself is on disk
}

func newDirectory(path string, d disk) *directory {
	dir := &directory{path: path, disk: d}
	dir.sync = commit.NewGroup(func([]struct{}) error {
		if dir.known.Load() {
			return d.SyncDir(path)
		}
		err := syncDirs(d, path)
		dir.known.Store(err == nil)
		return err
	})
	return dir
}

func (d *directory) configure(o *options) { d.options.Store(o) }

func (d *directory) close() error { return nil }

func (d *directory) add(records []record) error {
	if _, err := d.disk.Stat(d.path); err != nil {
		d.known.Store(false)
		if err := makeDirs(d.disk, d.path, d.options.Load().mode()); err != nil {
			return err
		}
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, r := range records {
		group.Go(func() error { return d.write(r) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// One sync puts the entries of all files on disk, those of other
	// deliveries too.
	return d.sync.Do(struct{}{})
}

// temporaryPrefix begins the names of files that are being written, or that a
// crash left behind. They are hidden from most readers.
const temporaryPrefix = ".instagram-"

// write writes one file under a temporary name, puts it on disk, and renames it.
func (d *directory) write(r record) (err error) {
	temporary := filepath.Join(d.path, temporaryPrefix+rand.Text())
	f, err := d.disk.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, d.options.Load().mode())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if e := d.disk.Remove(temporary); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}()
	_, err = f.Write(append(r.data[:len(r.data):len(r.data)], '\n'))
	if err == nil {
		err = f.Chmod(d.options.Load().mode())
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.disk.Rename(temporary, filepath.Join(d.path, r.name))
}
