package caddyfile

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-instagram/webhooks/file"
)

// parseFile parses the instagram_file directive. Syntax:
//
//	instagram_file [<matcher>] <path>
//
// As for Caddy's root directive, a lone argument is the path even where it
// looks like a path matcher.
func parseFile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume the directive's name
	args := h.CountRemainingArgs()
	if args < 1 || args > 2 {
		return nil, h.Err("instagram_file takes an optional matcher and the path of the file")
	}
	var matcher caddy.ModuleMap
	if args == 2 {
		var err error
		if matcher, err = h.ExtractMatcherSet(); err != nil {
			return nil, err
		}
		h.Next() // consume the directive's name again
	}
	lines := new(file.Handler)
	if !h.AllArgs(&lines.Path) || strings.HasPrefix(lines.Path, "@") {
		return nil, h.Err("instagram_file takes an optional matcher and the path of the file")
	}
	if lines.Path == "" {
		return nil, h.Err("the path of instagram_file is empty")
	}
	if h.NextBlock(0) {
		return nil, h.Errf("unknown option %q of instagram_file: it has none", h.Val())
	}
	return h.NewRoute(matcher, lines), nil
}
