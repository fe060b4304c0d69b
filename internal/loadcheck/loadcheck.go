// Package loadcheck looks at a config as a whole when it is loaded, and warns of
// what would otherwise be noticed only by the first delivery that is lost. It warns
// of nothing that may be meant, and says "may" where it is not certain.
package loadcheck

import (
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
)

func init() { app.RegisterExamination(examine) }

// examine warns of what is wrong with the routes of a config.
func examine(ctx caddy.Context, config *app.App) {
	loaded, err := ctx.AppIfConfigured("http")
	if err != nil {
		return // there is none, or it has failed, which is an error already
	}
	logger := ctx.Logger(config)
	for _, f := range inspect(loaded.(*caddyhttp.App).Servers, config.Noted()) {
		logger.Warn(f.text, zap.String("server", f.server), zap.String("route", f.route))
	}
}

// inspect returns what is wrong with servers, each finding once. Their handlers
// are provisioned, and noted are the webhooks of the config.
func inspect(servers map[string]*caddyhttp.Server, noted []any) (all []finding) {
	found := make(map[any]bool)
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		w := newWalk(name, servers[name])
		w.run()
		for h := range w.webhooks {
			found[h] = true
		}
		all = append(all, w.findings...)
	}
	hidden := slices.ContainsFunc(noted, func(h any) bool { return !found[h] })
	return slices.DeleteFunc(all, func(f finding) bool { return f.unauthenticated && hidden })
}

// finding is something wrong with a server.
type finding struct {
	text   string
	server string
	route  string // what leads there, for people to read

	// unauthenticated tells that it is wrong only if no webhook is where the walk
	// does not come, inside of a handler of another plugin.
	unauthenticated bool
}
