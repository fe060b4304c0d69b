package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/file"
)

// parseFile parses the instagram_file directive. Syntax:
//
//	instagram_file [<matcher>] <path>
func parseFile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	lines := new(file.Handler)
	h.Next() // consume the directive's name
	if !h.AllArgs(&lines.Path) {
		return nil, h.Err("instagram_file takes one argument: the path of the file")
	}
	if lines.Path == "" {
		return nil, h.Err("the path of instagram_file is empty")
	}
	if h.NextBlock(0) {
		return nil, h.Errf("unknown option %q of instagram_file: it has none", h.Val())
	}
	return lines, nil
}
