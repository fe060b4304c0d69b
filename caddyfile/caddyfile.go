// Package caddyfile turns the plugin's Caddyfile directives into JSON config.
package caddyfile

import (
	"errors"
	"math"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/dustin/go-humanize"
)

// The directives take their place after those that authenticate a request and
// before those that hand it to a backend, so that no `order` option is needed
// and no backend gets what is not authentic.
func init() {
	httpcaddyfile.RegisterHandlerDirective("instagram_webhook", parseWebhook)
	httpcaddyfile.RegisterDirective("instagram_file", parseFile)
	httpcaddyfile.RegisterHandlerDirective("instagram_queue", parseQueue)

	// Each is inserted right after forward_auth: the last one here runs first.
	for _, directive := range []string{"instagram_queue", "instagram_file", "instagram_webhook"} {
		httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.After, "forward_auth")
	}
}

// parseSize parses a size such as 8MiB, in bytes.
func parseSize(text string) (int64, error) {
	size, err := humanize.ParseBytes(text)
	if err == nil && size > math.MaxInt64 {
		err = errors.New("the size is too large")
	}
	return int64(size), err
}
