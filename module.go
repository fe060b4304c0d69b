// Package webhooks is a Caddy plugin that receives Instagram's webhooks: it
// authenticates what Meta sends and lets only authentic deliveries reach the
// handlers that follow, at once or, through a queue, later. Importing this
// package registers all of its modules.
package webhooks

import (
	_ "github.com/caddy-instagram/webhooks/admin"
	_ "github.com/caddy-instagram/webhooks/caddyfile"
	_ "github.com/caddy-instagram/webhooks/file"
	_ "github.com/caddy-instagram/webhooks/handler"
	_ "github.com/caddy-instagram/webhooks/inspector"
	_ "github.com/caddy-instagram/webhooks/internal/command"
	_ "github.com/caddy-instagram/webhooks/internal/loadcheck"
	_ "github.com/caddy-instagram/webhooks/matcher"
	_ "github.com/caddy-instagram/webhooks/queue"
	_ "github.com/caddy-instagram/webhooks/signedrequest"
)
