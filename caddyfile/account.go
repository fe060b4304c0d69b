package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// parseAccount parses the option account of the global option instagram. Syntax:
//
//	account <id> {
//	    login       instagram|facebook|unified
//	    token       {file.<path>}|{env.<name>}|managed
//	    fields      <fields...>
//	    reconcile   off|report|repair
//	    silence     <duration>
//	    app         <id> [<secret> [<callback>]]
//	    api_version <version>
//	    graph_url   <url>
//	}
func parseAccount(d *caddyfile.Dispenser, config *app.App) error {
	a := new(account.Account)
	if !d.Args(&a.ID) || d.NextArg() {
		return d.Err("account takes one argument, the id of the account, and a block")
	}
	line := *d
	options := option.NewTable("account",
		option.Word("login", "instagram, facebook or unified", &a.Login),
		option.Word("token", "{file.PATH}, {env.NAME} or managed", &a.Token).Complete(),
		option.Words("fields", "field such as comments", &a.Fields),
		option.Word("reconcile", "off, report or repair", &a.Reconcile),
		option.Duration("silence", "12h", &a.Silence),
		option.Args("app", "the id of your app, and optionally its secret and its callback URL", 1, 3, func(args []string) error {
			args = append(args, "", "")
			a.AppID, a.AppSecret, a.Callback = args[0], args[1], args[2]
			return nil
		}).Complete(),
		option.Word("api_version", "a version such as v26.0", &a.APIVersion),
		option.Word("graph_url", "a URL", &a.GraphURL),
	)
	if err := options.ParseBlock(d); err != nil {
		return err
	}
	if err := a.Validate(); err != nil {
		return line.WrapErr(err)
	}
	config.Accounts = append(config.Accounts, a)
	return nil
}
