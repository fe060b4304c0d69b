package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// replacement is a file that takes the place of another one atomically.
type replacement struct {
	*os.File
	target string
}

// replaceFile creates a hidden file that can take the place of the named one, with the same
// mode and owner. It follows symbolic links.
func replaceFile(name string) (*replacement, error) {
	return replaceFileBy(name, ".", ".*")
}

// replaceFileBy is replaceFile with what stands before and behind the name in that of the new
// file, as for os.CreateTemp.
func replaceFileBy(name, before, behind string) (*replacement, error) {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s cannot be replaced: it is not a regular file", name)
	}
	// Only this user may read it until it has the right owner.
	f, err := os.CreateTemp(filepath.Dir(target), before+filepath.Base(target)+behind)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be replaced: %w", name, err)
	}
	r := &replacement{f, target}
	if err := errors.Join(keepOwner(f, info), f.Chmod(info.Mode().Perm())); err != nil {
		r.discard()
		return nil, fmt.Errorf("%s cannot be replaced by a file with the same owner and mode: %w", name, err)
	}
	return r, nil
}

// discard removes the new file, unless it was committed.
func (r *replacement) discard() {
	_ = r.Close()
	_ = os.Remove(r.Name())
}

// commit writes the new file and puts it in its place, durably.
func (r *replacement) commit(data []byte) error {
	_, err := r.Write(data)
	if err := errors.Join(err, r.Sync(), r.Close()); err != nil {
		return err
	}
	if err := os.Rename(r.Name(), r.target); err != nil {
		return err
	}
	return syncdir.Sync(filepath.Dir(r.target))
}
