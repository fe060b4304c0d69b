// Package caddyfile turns the plugin's Caddyfile directives into JSON config.
package caddyfile

import "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

// The directives take their place after those that authenticate a request and
// before all that may answer or route one, so that no `order` option is needed
// and nothing runs on what is not authentic. Each is inserted right after
// forward_auth, so the last to be registered runs first.
func init() {
	for _, directive := range []struct {
		name  string
		parse httpcaddyfile.UnmarshalHandlerFunc
	}{
		{"instagram_file", parseFile},
		{"instagram_webhook", parseWebhook},
	} {
		httpcaddyfile.RegisterHandlerDirective(directive.name, directive.parse)
		httpcaddyfile.RegisterDirectiveOrder(directive.name, httpcaddyfile.After, "forward_auth")
	}
}
