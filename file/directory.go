package file

import (
	"errors"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/internal/commit"
)

// directory keeps each event in a file of its own. A file appears under its name
// only when all of it is on disk. The same event has the same name: if it is sent
// again while its file is there, it replaces the file.
type directory struct {
	path    string
	disk    disk
	handler atomic.Pointer[Handler]
	sync    *commit.Group[struct{}]
	synced  atomic.Bool // its own entry is on disk
}

func newDirectory(path string, d disk) *directory {
	dir := &directory{path: path, disk: d}
	dir.sync = commit.NewGroup(func([]struct{}) error {
		if dir.synced.Load() {
			return d.SyncDir(path)
		}
		err := syncDirs(d, path)
		dir.synced.Store(err == nil)
		return err
	})
	return dir
}

func (d *directory) configure(h *Handler) { d.handler.Store(h) }

func (d *directory) close() error { return nil }

func (d *directory) add(records []record) error {
	if _, err := d.disk.Stat(d.path); err != nil {
		d.synced.Store(false)
		if err := makeDirs(d.disk, d.path, d.handler.Load().mode()); err != nil {
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

// write writes one file under a temporary name, puts it on disk, and renames it.
func (d *directory) write(r record) error {
	text := append(r.data[:len(r.data):len(r.data)], '\n')
	temporary, err := writeTemporary(d.disk, d.path, d.handler.Load().mode(), text)
	if err != nil {
		return err
	}
	if err := d.disk.Rename(temporary, filepath.Join(d.path, r.name)); err != nil {
		return errors.Join(err, removeTemporary(d.disk, temporary))
	}
	return nil
}
