// Package caddyfile turns the plugin's Caddyfile directives into JSON config. Each directive has a file of its own, in
// which a table lists its options.
package caddyfile

import "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

// The directives take their place after those that authenticate a request and before those that hand it to a
// backend, so that no `order` option is needed and no backend gets what is not authentic.
func init() {
	httpcaddyfile.RegisterHandlerDirective("instagram_webhook", parseWebhook)
	httpcaddyfile.RegisterHandlerDirective("instagram_signed_request", parseSignedRequest)
	httpcaddyfile.RegisterDirective("instagram_file", parseFile)
	httpcaddyfile.RegisterHandlerDirective("instagram_queue", parseQueue)
	httpcaddyfile.RegisterHandlerDirective("instagram_inspector", parseInspector)
	httpcaddyfile.RegisterGlobalOption("instagram", parseInstagram)

	// Each is inserted right after forward_auth: the last one here runs first.
	for _, directive := range []string{"instagram_inspector", "instagram_queue", "instagram_file", "instagram_signed_request", "instagram_webhook"} {
		httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.After, "forward_auth")
	}
}
