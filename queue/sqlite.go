package queue

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

func init() {
	caddy.RegisterModule(new(SQLite))
	app.RegisterExamination(warnOfDefaultStore)
}

// SQLite keeps the events of a queue in a SQLite database on this machine. Each answer
// of 200 comes after a sync of the disk.
//
// The database can be read with `sqlite3 -readonly` while Caddy runs. Besides its file
// there are others with the same name and the endings `-wal`, `-shm`, `.lock` and
// `.reserve`: a copy of the file alone is not the queue. To copy it, use
// `caddy instagram queue backup`.
type SQLite struct {
	// Path is the file of the database. It is created if it does not exist, and so
	// are its directories. One process at a time can use it, and it must not be on a
	// network file system. Placeholders are resolved when the config is loaded.
	// Default: `instagram/queue.db` in Caddy's data directory.
	Path string `json:"path,omitempty"`

	// AcceptLoss opens a database that was not closed and whose `-wal` file is
	// missing. Without it, that is an error: what was accepted last is missing.
	// Remove the option again afterwards.
	AcceptLoss bool `json:"accept_loss,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*SQLite) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_queue.stores.sqlite",
		New: func() caddy.Module { return new(SQLite) },
	}
}

// UnmarshalCaddyfile parses the store. Syntax:
//
//	store sqlite [<path>] {
//	    accept_loss
//	}
func (s *SQLite) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the module's name
	switch args := d.RemainingArgs(); {
	case len(args) > 1:
		return d.Err("sqlite takes one argument: the path of the file")
	case len(args) == 1 && args[0] == "":
		return d.Err("the path of sqlite is empty")
	case len(args) == 1:
		s.Path = args[0]
	}
	return option.NewTable("sqlite", option.Flag("accept_loss", &s.AcceptLoss)).ParseBlock(d)
}

// Provision resolves the path.
func (s *SQLite) Provision(ctx caddy.Context) error {
	path := DefaultPath()
	if s.Path != "" {
		var err error
		if path, err = caddy.NewReplacer().ReplaceOrErr(s.Path, true, true); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	var err error
	if s.path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return metrics.Register(ctx.GetMetricsRegistry(), sqlite.Metrics()...)
}

// DefaultPath returns the file of a queue whose config names none.
func DefaultPath() string { return filepath.Join(caddy.AppDataDir(), "instagram", "queue.db") }

// Name implements Opener. It returns the absolute path of the file.
func (s *SQLite) Name() string { return s.path }

// Open implements Opener.
func (s *SQLite) Open(logger func() *zap.Logger) (queue.Store, error) {
	return sqlite.OpenWith(s.path, logger, sqlite.Options{AcceptLoss: s.AcceptLoss})
}

// warnOfDefaultStore warns of a database in the default place that no queue of the
// config uses.
func warnOfDefaultStore(ctx caddy.Context, config *app.App) {
	path := DefaultPath()
	if _, err := os.Stat(path); err != nil || uses(config, path) {
		return
	}
	ctx.Logger(new(SQLite)).Warn("a queue is in the default place, but no instagram_queue uses it: if events are pending in it, they are not delivered. Look at them with 'caddy instagram queue export --state pending --file', and remove the file if it is of no use",
		zap.String("store", path))
}

// Interface guards
var (
	_ caddy.Provisioner     = (*SQLite)(nil)
	_ caddyfile.Unmarshaler = (*SQLite)(nil)
	_ Opener                = (*SQLite)(nil)
)
