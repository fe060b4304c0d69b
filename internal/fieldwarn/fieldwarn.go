// Package fieldwarn warns of names of fields that may be misspelt.
package fieldwarn

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/event"
)

// Log warns of the names that no field is known to have.
func Log(logger *zap.Logger, names []string) {
	for _, warning := range event.FieldWarnings(names) {
		logger.Warn(warning)
	}
}

// Caddyfile does the same for names out of a Caddyfile, with their place, in the way
// that Caddy's own directives warn: whoever adapts or validates it sees that.
func Caddyfile(d *caddyfile.Dispenser, names []string) {
	Log(caddy.Log().Named("caddyfile").With(zap.String("file", d.File()), zap.Int("line", d.Line())), names)
}
