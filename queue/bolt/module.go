// Package bolt keeps queued events in a file of this machine.
package bolt

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/queue"
)

func init() {
	caddy.RegisterModule(new(Module))
}

// Module keeps queued events in a file.
type Module struct {
	// Path is the path of the file. Default: a file in Caddy's data directory.
	Path string `json:"path,omitempty"`

	// MinFreeSpace is how many bytes must stay free on the file system. With
	// less, the answer is 503. Default: 100 MiB.
	MinFreeSpace int64 `json:"min_free_space,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_queue.stores.bolt",
		New: func() caddy.Module { return new(Module) },
	}
}

// Name implements queue.Opener.
func (m *Module) Name() string { return m.Path }

// Open implements queue.Opener.
func (m *Module) Open(*zap.Logger) (queue.Store, error) {
	return nil, errors.New("not implemented yet")
}
