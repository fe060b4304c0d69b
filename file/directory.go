package file

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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

	ready sync.Mutex
	made  bool
}

func newDirectory(path string, d disk) *directory {
	dir := &directory{path: path, disk: d}
	dir.sync = commit.NewGroup(func([]struct{}) error { return d.SyncDir(path) })
	return dir
}

func (d *directory) configure(o *options) { d.options.Store(o) }

func (d *directory) close() error { return nil }

func (d *directory) add(records []record) error {
	if err := d.make(); err != nil {
		return err
	}
	for _, r := range records {
		if err := d.write(r); err != nil {
			d.remake()
			return err
		}
	}
	// One sync puts the entries of all files on disk, those of other
	// deliveries too.
	return d.sync.Do(struct{}{})
}

func (d *directory) make() error {
	d.ready.Lock()
	defer d.ready.Unlock()
	if d.made {
		return nil
	}
	if err := makeDirs(d.disk, d.path, dirMode(d.options.Load().mode())); err != nil {
		return err
	}
	if err := d.sweep(); err != nil {
		return err
	}
	d.made = true
	return nil
}

// temporaryPrefix begins the names of files that are being written. They are
// hidden from most readers.
const temporaryPrefix = ".tmp-"

// forgotten is the age at which a temporary file was left behind by a crash.
const forgotten = time.Hour

// sweep removes what a crash left behind.
func (d *directory) sweep() error {
	entries, err := d.disk.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), temporaryPrefix) {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > forgotten {
			if err := d.disk.Remove(filepath.Join(d.path, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// remake has the next delivery look for the directory again.
func (d *directory) remake() {
	d.ready.Lock()
	defer d.ready.Unlock()
	d.made = false
}

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
