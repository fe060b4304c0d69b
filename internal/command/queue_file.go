package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/queue/bolt"
)

// fileFlag is the flag that names the file of a stopped server.
type fileFlag struct{ path string }

func (f *fileFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "file", "", "Not the running Caddy, but the `file` of a stopped one")
}

// validate returns an error if a running Caddy is asked for, too.
func (f *fileFlag) validate(g *gateway) error {
	if f.path != "" && (g.address != "" || g.config != "" || g.store != "") {
		return errors.New("--file is for a stopped server: leave out --address, --config and --store")
	}
	return nil
}

// errEmpty is wrapped by the error for a file of no bytes, of which the queue would
// make a new one.
var errEmpty = errors.New("it is empty")

// open opens the file, which must be there. The queue would make a new one.
func (f *fileFlag) open() (*bolt.Store, os.FileInfo, error) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not the file of a queue", f.path)
	case info.Size() == 0:
		err = fmt.Errorf("the file %s is no queue, or is damaged: %w", f.path, errEmpty)
	default:
		var store *bolt.Store
		if store, err = bolt.Open(f.path, zap.NewNop); err == nil {
			return store, info, nil
		}
		if !errors.Is(err, bolt.ErrDamaged) {
			err = fmt.Errorf("%w; leave out --file to ask a Caddy that is running", err)
		}
	}
	return nil, nil, &failure{exitRefused, err}
}

// onFile opens the file of a stopped server, works on it, and closes it. status
// is the exit code if the work fails.
func onFile[T any](ctx context.Context, f *fileFlag, status int, work func(*bolt.Store, os.FileInfo) (T, error)) (T, error) {
	store, info, err := f.open()
	if err != nil {
		var none T
		return none, err
	}
	return await(ctx, func() (T, error) {
		found, err := work(store, info)
		return found, withStatus(status, errors.Join(err, store.Close()))
	})
}

// lister returns the events that parameters of the admin API select, as
// admin.List does.
type lister func(query url.Values) ([]*admin.Event, error)

// withEvents does work with the events of the running Caddy, or of the file of a
// stopped one.
func withEvents[T any](ctx context.Context, g *gateway, f *fileFlag, work func(lister) (T, error)) (T, error) {
	if f.path == "" {
		return await(ctx, func() (T, error) {
			return work(func(query url.Values) (page []*admin.Event, err error) {
				err = g.look(ctx, http.MethodGet, "/events", query, &page)
				return page, err
			})
		})
	}
	return onFile(ctx, f, exitRefused, func(store *bolt.Store, _ os.FileInfo) (T, error) {
		return work(func(query url.Values) ([]*admin.Event, error) {
			filter, err := admin.ParseFilter(query)
			if err != nil {
				return nil, err
			}
			filter.Bodies = query.Get("bodies") == "true"
			return admin.List(ctx, store, filter)
		})
	})
}

func queueCheckCommand(g *gateway) *cobra.Command {
	var f fileFlag
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for damage in the file of a queue",
		Long: `
Looks for damage in the file of a queue, of the running Caddy or, with --file, of
a stopped one. It reads the whole file, and changes nothing.

Exit codes:
  0  the file is sound
  1  wrong usage
  2  the file could not be checked
  3  the file is damaged, or is not that of a queue
` + unsaidCode,
		Example: `  $ caddy instagram queue check
  $ caddy instagram queue check --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
		RunE: run(0, func(ctx context.Context, _ *console, _ []string) (result, error) {
			if err := f.validate(g); err != nil {
				return nil, err
			}
			return checkQueue(ctx, g, &f)
		}),
	}
	f.register(cmd)
	return cmd
}

// checkedQueue is the result of check.
type checkedQueue struct {
	outcome
	admin.Checked
}

func (r *checkedQueue) text(c *console) {
	if r.Sound { // else the error says it
		c.printf("The file is sound.\n")
	}
}

func checkQueue(ctx context.Context, g *gateway, f *fileFlag) (result, error) {
	r := new(checkedQueue)
	if f.path == "" {
		if err := g.look(ctx, http.MethodPost, "/check", nil, &r.Checked); err != nil {
			return nil, err
		}
	} else {
		damage, err := onFile(ctx, f, exitRefused, func(store *bolt.Store, _ os.FileInfo) (error, error) {
			return store.Check(ctx), nil
		})
		if errors.Is(err, bolt.ErrDamaged) || errors.Is(err, errEmpty) { // so much that it cannot be opened
			damage, err = err, nil
		}
		if err != nil {
			return nil, err
		}
		if r.Sound = damage == nil; damage != nil {
			r.Damage = damage.Error()
		}
	}
	if r.Sound {
		return r, nil
	}
	said := r.Damage
	if !strings.Contains(said, "damaged") {
		said = "the file is damaged: " + said
	}
	return r, &failure{exitDamaged, fmt.Errorf("%s. Restore a copy; what it held since is lost", said)}
}

func queueCompactCommand(g *gateway) *cobra.Command {
	var f fileFlag
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Make the file of a queue smaller",
		Long: `
Gives the space that a queue does not use any more back to the file system, of
the running Caddy or, with --file, of a stopped one. The file is copied, so there
must be room for that. Meanwhile a running Caddy accepts nothing: it lets
deliveries wait, and Meta sends those again that wait for more than five seconds.
Nobody needs to do this regularly: space that events leave is used for others.
` + queueExitCodes,
		Example: `  $ caddy instagram queue compact
  $ caddy instagram queue compact --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
		RunE: run(0, func(ctx context.Context, _ *console, _ []string) (result, error) {
			if err := f.validate(g); err != nil {
				return nil, err
			}
			r := new(compactedQueue)
			if f.path == "" {
				if err := g.change(ctx, http.MethodPost, "/compact", nil, &r.Compacted); err != nil {
					return nil, err
				}
				return r, nil
			}
			var err error
			if r.Compacted, err = compactFile(ctx, &f); err != nil {
				return nil, err
			}
			return r, nil
		}),
	}
	f.register(cmd)
	return cmd
}

// compactedQueue is the result of compact.
type compactedQueue struct {
	outcome
	admin.Compacted
}

func (r *compactedQueue) text(c *console) {
	c.printf("The file had %s and has %s.\n", sizeText(r.Before), sizeText(r.After))
}

// compactFile also keeps the owner of the file, which Caddy may not be able to
// open otherwise.
func compactFile(ctx context.Context, f *fileFlag) (admin.Compacted, error) {
	return onFile(ctx, f, exitUnsure, func(store *bolt.Store, info os.FileInfo) (c admin.Compacted, err error) {
		if c.Before, c.After, err = store.Compact(ctx); err == nil {
			err = keepAccess(f.path, info)
		}
		return c, err
	})
}

// keepAccess gives a file the owner and the mode of the one that it replaced.
func keepAccess(path string, old os.FileInfo) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(keepOwner(file, old), file.Chmod(old.Mode().Perm()), file.Close())
}
