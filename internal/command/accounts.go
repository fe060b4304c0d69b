package command

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

func accountsCommand() *cobra.Command {
	a := new(accountsFlags)
	cmd := a.command("accounts", "Show how the accounts are doing that Caddy looks after", `
Shows for each account in the config its login, until when its access token is valid,
how many of the wanted fields your app is subscribed to, when the last event came, when
Meta was last asked, and what to do, by the admin API of the running Caddy; --address
and --config name it as for 'caddy instagram queue'. A ≤ before the end of a token says
that Meta has not told it: that is the latest. Gateways that share Caddy's storage show
the same.

With --check, Caddy asks Meta about each account first, and the command waits for that:
some ten seconds, and more for many accounts, as Caddy makes one call a second. What was
looked at within the last minute is not looked at again.

Exit codes:
  0  done
  1  wrong usage
  2  Caddy refused or cannot be reached
`+outputCode, `  $ caddy instagram accounts
  $ caddy instagram accounts --config /etc/caddy/Caddyfile --json
  $ caddy instagram accounts --check`, 0, a.accounts)
	a.registerAddress(cmd)
	cmd.Flags().BoolVar(&a.check, "check", false, "Have Caddy ask Meta about the accounts now")
	return cmd
}

// accountStatuses is the result of accounts.
type accountStatuses struct {
	outcome
	Accounts []admin.AccountStatus `json:"accounts"`
}

// accountsFlags are the flags of accounts.
type accountsFlags struct {
	adminClient
	check bool
}

func (a *accountsFlags) accounts(ctx context.Context, _ *console, _ []string) (result, error) {
	s := new(accountStatuses)
	if a.check {
		return ifDone(s, a.call(ctx, http.MethodPost, "/instagram/accounts/check", nil, &s.Accounts))
	}
	return ifDone(s, a.call(ctx, http.MethodGet, "/instagram/accounts", nil, &s.Accounts))
}

func (s *accountStatuses) text(c *console) {
	if len(s.Accounts) == 0 {
		c.printf("No account is looked after: the running config has none in its global option instagram.\n")
		return
	}
	now := time.Now()
	rows := [][]string{{"ACCOUNT", "LOGIN", "TOKEN UNTIL", "SUBSCRIBED", "LAST EVENT", "LAST CHECK", "TO DO"}}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		rows = append(rows, []string{
			a.Account, a.Login, tokenEnd(a), subscribedText(a), c.ago(a.LastEvent, now), c.ago(a.LastCheck, now), a.ToDo,
		})
	}
	c.list(1, rows)
}

// tokenEnd says until when the token of an account is valid.
func tokenEnd(a *admin.AccountStatus) string {
	switch {
	case a.Token.State == "dead", a.Token.State == "unknown":
		return a.Token.State
	case a.Token.Expires.IsZero():
		return "-"
	case a.Token.AtLatest:
		return "≤ " + a.Token.Expires.UTC().Format(time.DateOnly)
	}
	return a.Token.Expires.UTC().Format(time.DateOnly)
}

// subscribedText says to how many of the wanted fields of an account the app is subscribed.
func subscribedText(a *admin.AccountStatus) string {
	switch a.Subscription {
	case "":
		return "-"
	case "uncertain":
		return "?"
	}
	return fmt.Sprintf("%d of %d", len(a.Fields)-len(a.Missing), len(a.Fields))
}
