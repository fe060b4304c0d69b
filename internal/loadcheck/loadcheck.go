// Package loadcheck looks at a config as a whole when it is loaded, and warns of what would otherwise be noticed only
// by the first delivery that is lost. It warns of nothing that may be meant, and says "may" where it is not certain.
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

// examine warns of what is wrong with the routes of a config, each finding once.
func examine(ctx caddy.Context, config *app.App) {
	loaded, err := ctx.AppIfConfigured("http")
	if err != nil {
		return // there is none, or it has failed, which is an error already
	}
	servers := loaded.(*caddyhttp.App).Servers
	missed := config.Webhooks() // those that the walk has not found
	var findings []finding
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		w := follow(name, servers[name])
		missed -= len(w.webhooks)
		findings = append(findings, w.findings...)
	}
	for _, f := range findings {
		// A webhook that was missed is inside a handler of another plugin: anything may be behind it.
		if !f.unauthenticated || missed == 0 {
			ctx.Logger(config).Warn(f.text, zap.String("server", f.server), zap.String("route", f.route))
		}
	}
}

// finding is something wrong with a server.
type finding struct {
	text            string
	server          string
	route           string // the matchers that lead there, for people to read
	unauthenticated bool   // it is about requests that no webhook authenticated
}
