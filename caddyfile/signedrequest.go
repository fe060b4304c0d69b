package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// parseSignedRequest parses the instagram_signed_request directive. Syntax:
//
//	instagram_signed_request [<matcher>] deauthorize|deletion {
//	    app_secret [<name>] <secret>
//	    status_url <url>
//	}
//
// app_secret can be given several times. status_url is for deletion, which needs it.
func parseSignedRequest(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	s := new(signedrequest.Handler)
	h.Next() // consume the directive's name
	if !h.Args(&s.Kind) || h.NextArg() {
		return nil, h.Err("instagram_signed_request takes what its URL is for, deauthorize or deletion, and a block")
	}
	if err := s.ValidateOptions(); err != nil {
		return nil, h.WrapErr(err)
	}
	options := option.NewTable("instagram_signed_request",
		option.Args("app_secret", "an optional name and a secret", 1, 2, func(args []string) error {
			return addAppSecret(&s.AppSecrets, args)
		}).Repeatable().Complete(),
		option.Word("status_url", "the URL of the page", &s.StatusURL).Complete(),
	)
	options.Validate = s.ValidateOptions
	if err := options.ParseBlock(h.Dispenser); err != nil {
		return nil, err
	}
	switch {
	case len(s.AppSecrets) == 0:
		return nil, h.Err("instagram_signed_request needs at least one app_secret")
	case s.Kind == signedrequest.Deletion && s.StatusURL == "":
		return nil, h.Err("instagram_signed_request deletion needs a status_url such as https://hooks.example.com/deletion/{code}")
	}
	return s, nil
}
