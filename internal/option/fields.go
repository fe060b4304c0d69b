package option

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/event"
)

// Fields is an option with a list of fields. Names that no field is known to have are warned of.
func Fields(name string, field *[]string) *Option {
	o := Words(name, "field such as comments", field)
	o.warns = true
	return o
}

// LogUnknownFields warns of the names that no field is known to have.
func LogUnknownFields(logger *zap.Logger, names []string) {
	for _, warning := range event.FieldWarnings(names) {
		logger.Warn(warning)
	}
}

// warnOfFields does so for names in a Caddyfile, as Caddy's own directives warn: whoever adapts or validates it sees
// file and line.
func warnOfFields(d *caddyfile.Dispenser, names []string) {
	LogUnknownFields(caddy.Log().Named("caddyfile").With(zap.String("file", d.File()), zap.Int("line", d.Line())), names)
}
