package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, newOpener)
}

// newOpener returns an Opener for a store in a directory. After a crash the store
// continues in a copy of its files.
func newOpener(dir string) storetest.Opener {
	crashes := 0
	path := func() string { return filepath.Join(dir, fmt.Sprintf("queue%d.db", crashes)) }
	return storetest.Opener{
		Open: func() (queue.Store, error) {
			s, err := open(path())
			if err != nil {
				return nil, err
			}
			return forkSafe{s}, nil
		},
		Crash: func(s queue.Store) error {
			old := path()
			crashes++
			return errors.Join(
				copyFile(old, path()),
				copyFile(old+journalSuffix, path()+journalSuffix),
				s.Close(),
				os.Remove(old),
			)
		},
	}
}

// forkSafe is a Store that compacts while no process is started: see open.
type forkSafe struct{ *Store }

func (s forkSafe) Compact(ctx context.Context) (before, after int64, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return s.Store.Compact(ctx)
}

// Check only looks whether the store is closed: bbolt's own check reads pages that a
// commit may change at the same time, which is a race within bbolt. TestCompact and
// TestDamagedFiles check files that nothing else uses.
func (s forkSafe) Check(ctx context.Context) error {
	_, err := s.Stats(ctx)
	return err
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, source)
	return errors.Join(err, f.Close())
}
