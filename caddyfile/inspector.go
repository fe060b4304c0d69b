package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/inspector"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// parseInspector parses the instagram_inspector directive. Syntax:
//
//	instagram_inspector [<matcher>] {
//	    allow        retry|discard|pause...
//	    trust_header <name>
//	}
func parseInspector(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	i := new(inspector.Handler)
	h.Next() // consume the directive's name
	if h.NextArg() {
		return nil, h.ArgErr()
	}
	options := option.NewTable("instagram_inspector",
		option.Words("allow", "of retry, discard and pause", &i.Allow),
		option.Word("trust_header", "the name of a header", &i.TrustHeader).Complete(),
	)
	options.Validate = i.Validate
	if err := options.ParseBlock(h.Dispenser); err != nil {
		return nil, err
	}
	return i, nil
}
