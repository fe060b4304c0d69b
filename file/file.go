// Package file appends authentic deliveries to files.
package file

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler appends each authentic delivery to a file, as one line of JSON, and
// goes on to the next handler; where there is none, Caddy answers 200. It must
// come after `instagram_webhook`: what was not authenticated is not written,
// but answered with 500. A delivery that cannot be written is answered with
// 503, so that Meta sends it again.
//
// A delivery is written byte for byte, unless it holds raw line breaks: then
// it is compacted. A delivery that is not JSON and holds line breaks becomes
// the line `{"data_base64":"…"}`.
type Handler struct {
	// Path is the file to append to. It is made when it does not exist, and
	// its directory too. Placeholders such as `{env.*}` are resolved when the
	// config is loaded.
	Path string `json:"path,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_file",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision resolves the path. It opens nothing.
func (h *Handler) Provision(caddy.Context) error {
	if h.Path == "" {
		return errors.New("a path is needed")
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(h.Path, true, true)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	h.path, err = filepath.Abs(path)
	return err
}

// ServeHTTP appends the delivery and calls next.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	delivery := event.FromContext(r.Context())
	if delivery == nil {
		return caddyhttp.Error(http.StatusInternalServerError,
			errors.New("instagram_file got a request that was not authenticated: instagram_webhook must come before it"))
	}
	if err := appendLine(h.path, line(delivery.Body)); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, fmt.Errorf("writing the delivery: %w", err))
	}
	delivery.Accept()
	return next.ServeHTTP(w, r)
}

// appendLine writes line in one write. Opening the file for each keeps it
// right over a reload and under an outside logrotate.
func appendLine(path string, line []byte) (err error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	f, err := os.OpenFile(path, flags, 0o640)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o750); err == nil {
			f, err = os.OpenFile(path, flags, 0o640)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(line)
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
