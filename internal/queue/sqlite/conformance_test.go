package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

// TestConformance holds the store against the contract.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, newOpener)
}

// newOpener opens a queue in a directory. After a crash it goes on with a copy of the
// files as they were while the store was open.
func newOpener(dir string) storetest.Opener {
	n := 0
	path := func() string { return filepath.Join(dir, fmt.Sprintf("queue%d.db", n)) }
	return storetest.Opener{
		Open: func() (queue.Store, error) { return Open(path(), zap.NewNop) },
		Crash: func(s queue.Store) error {
			old := path()
			n++
			for _, suffix := range []string{"", walSuffix} {
				if err := copyFile(old+suffix, path()+suffix); err != nil {
					return err
				}
			}
			return s.Close()
		},
	}
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
