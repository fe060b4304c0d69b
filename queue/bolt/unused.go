package bolt

import (
	"os"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/queue"
)

func init() { app.RegisterExamination(warnOfUnused) }

// warnOfUnused warns of a file in the default place that no queue uses. After a
// restart, nobody knows of files in other places.
func warnOfUnused(ctx caddy.Context, config *app.App) {
	path := DefaultPath()
	if _, err := os.Stat(path); err != nil || queue.Uses(config, path) {
		return
	}
	ctx.Logger(new(Module)).Warn("a queue is in the default place, but no instagram_queue uses it: if events are pending in it, they are not delivered. Look at them with 'caddy instagram queue export --state pending --file', and remove the file if it is of no use",
		zap.String("store", path))
}
