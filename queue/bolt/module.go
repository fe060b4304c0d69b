package bolt

import (
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/queue"
	queuehandler "github.com/caddy-instagram/webhooks/queue"
)

func init() {
	caddy.RegisterModule(new(Module))
}

// Module keeps the events of a queue in a file of this machine, with a sync of
// the disk for each answer. The file grows with the events that wait or are kept
// and does not shrink by itself; its space is used again. As long as Caddy runs, a
// journal stands beside it, in which changes are on disk first: after a crash,
// both together are the queue.
type Module struct {
	// Path is the file. It is made if it is missing, and so are directories.
	// One process at a time can use it, and it must not be on a network file
	// system. Placeholders are resolved when the config is loaded. Default:
	// `instagram/queue.db` in Caddy's data directory.
	Path string `json:"path,omitempty"`

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
	path := DefaultPath()
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

// DefaultPath is the path of a Module that does not name one.
func DefaultPath() string { return filepath.Join(caddy.AppDataDir(), "instagram", "queue.db") }

// Name returns the path of the file. It implements queuehandler.Opener.
func (m *Module) Name() string { return m.path }

// Open opens the file. It implements queuehandler.Opener.
func (m *Module) Open(logger func() *zap.Logger) (queue.Store, error) {
	return Open(m.path, logger)
}

// Interface guards
var (
	_ caddy.Provisioner   = (*Module)(nil)
	_ queuehandler.Opener = (*Module)(nil)
)
