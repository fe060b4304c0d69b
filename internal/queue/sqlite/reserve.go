package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/caddy-instagram/webhooks/internal/freespace"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

const (
	reserveSuffix = ".reserve"
	reserveSize   = 4 << 20
)

// reserve is a file that takes up room on the disk. When the disk is full it is given
// up, so that what waits can be settled and expired, which makes room in turn. Until it
// is there again, nothing is accepted. It stays when the queue is closed: the next one may
// find the disk full.
type reserve struct {
	path string
	size int64 // less on a small disk; 0: not known yet
	made bool
}

func (r *reserve) gone() bool { return !r.made }

// make sets room aside, if as much again stays free.
func (r *reserve) make() error {
	free, err := freespace.Of(filepath.Dir(r.path))
	if errors.Is(err, errors.ErrUnsupported) {
		free, err = 16*reserveSize, nil
	}
	if err != nil {
		return err
	}
	if r.size == 0 {
		r.size = min(reserveSize, free/8)
	}
	if free < max(barely, 2*r.size) {
		return syscall.ENOSPC
	}
	if err := removeMissing(r.path); err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // where no link leads
	if err != nil {
		return err
	}
	keepOwner(f, strings.TrimSuffix(r.path, reserveSuffix))
	_, err = f.Write(make([]byte, r.size))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, r.remove())
	}
	r.made = true
	return nil
}

// remove gives the room up.
func (r *reserve) remove() error {
	r.made = false
	return removeMissing(r.path)
}

func fullError(path string, why error) error {
	return fmt.Errorf("%w: writing %s: %w: %w", queue.ErrFull, path, syscall.ENOSPC, why)
}
