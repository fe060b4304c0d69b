package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// parseInstagram parses the global option instagram. Syntax:
//
//	instagram {
//	    account <id> {
//	        # see parseAccount
//	    }
//	    token_key <key>
//	    alert <url> {
//	        format json|slack|teams|ntfy
//	        only   <kinds...>
//	    }
//	    alert {
//	        # what stands above
//	        <directives...>
//	    }
//	}
//
// account and alert can be given several times.
func parseInstagram(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // consume the option's name
	if existing != nil {
		return nil, d.Err("instagram is given twice")
	}
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	config := new(app.App)
	options := option.NewTable("instagram",
		option.Custom("account", func(d *caddyfile.Dispenser) error { return parseAccount(d, config) }).Repeatable(),
		option.Word("token_key", "{env.NAME} or {file.PATH}", &config.TokenKey).Complete(),
		option.Custom("alert", func(d *caddyfile.Dispenser) error { return parseAlert(d, config) }).Repeatable(),
	)
	if err := options.ParseBlock(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "instagram", Value: caddyconfig.JSON(config, nil)}, nil
}
