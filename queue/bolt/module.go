package bolt

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/queue"
)

func init() {
	caddy.RegisterModule(new(Module))
}

// defaultMinFree is the default of MinFreeSpace.
const defaultMinFree = 100 << 20

// Module keeps the events of a queue in a file of this machine, with a sync of
// the disk for each answer. The file grows with the events that wait or are kept
// and does not shrink by itself; its space is used again.
type Module struct {
	// Path is the file. It is made if it is missing, and so are directories.
	// One process at a time can use it, and it must not be on a network file
	// system. Placeholders are resolved when the config is loaded. Default:
	// `instagram/queue.db` in Caddy's data directory.
	Path string `json:"path,omitempty"`

	// MinFreeSpace is how many bytes must be free in the file system and the
	// file together for anything to be accepted; below, deliveries are answered
	// with 503. It leaves the room that is needed to deliver what is in the
	// queue. Default: 104857600 (100 MiB).
	MinFreeSpace *int64 `json:"min_free_space,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_queue.stores.bolt",
		New: func() caddy.Module { return new(Module) },
	}
}

// Provision resolves the path. It opens nothing.
func (m *Module) Provision(ctx caddy.Context) error {
	path := filepath.Join(caddy.AppDataDir(), "instagram", "queue.db")
	if m.Path != "" {
		var err error
		if path, err = caddy.NewReplacer().ReplaceOrErr(m.Path, true, true); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	var err error
	if m.path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return metrics.Register(ctx.GetMetricsRegistry(), commitSeconds, commitOperations)
}

// Validate checks the options.
func (m *Module) Validate() error {
	if m.MinFreeSpace != nil && *m.MinFreeSpace < 0 {
		return errors.New("min_free_space must not be negative")
	}
	return nil
}

// Name returns the path of the file. It implements queue.Opener.
func (m *Module) Name() string { return m.path }

// Open opens the file. It implements queue.Opener.
func (m *Module) Open(logger *zap.Logger) (queue.Store, error) {
	minFree := int64(defaultMinFree)
	if m.MinFreeSpace != nil {
		minFree = *m.MinFreeSpace
	}
	return Open(m.path, minFree, logger)
}

// Interface guards
var (
	_ caddy.Provisioner = (*Module)(nil)
	_ caddy.Validator   = (*Module)(nil)
	_ queue.Opener      = (*Module)(nil)
)
