package command

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// tokenImport hands an access token to the running Caddy.
type tokenImport struct {
	adminClient
	account string
	token   secretSource
}

func importCommand() *cobra.Command {
	t := &tokenImport{token: accessToken}
	cmd := t.command("import", "Hand an access token to the running Caddy, which keeps and renews it", `
Hands the access token of an account with 'token managed' to the running Caddy, which
asks Meta whose it is, keeps it encrypted in its storage, and renews it from then on.
The file with the token is not needed any more: delete it.

The token goes to the admin API, by --address or --config as for 'caddy instagram
queue', and only on this machine.

Exit codes:
  0  done
  1  wrong usage or input: nothing was changed
  2  Caddy or Meta refused, or cannot be reached
`+outputCode, `  $ caddy instagram token import --account 17841400000000001 --token-file token
  $ caddy instagram token import --account 17841400000000001 --token-file - --config /etc/caddy/Caddyfile`, 0, t.hand)
	t.registerAddress(cmd)
	cmd.Flags().StringVar(&t.account, "account", "", "The `id` of the account (needed)")
	t.token.register(cmd)
	return cmd
}

// importedToken is the result of import.
type importedToken struct {
	outcome
	Account string `json:"account"`
}

func (t *tokenImport) hand(ctx context.Context, c *console, _ []string) (result, error) {
	if t.account == "" {
		return nil, errors.New("--account is missing: the id that the config has")
	}
	if err := graph.ValidateID(t.account); err != nil {
		return nil, err
	}
	token, err := t.token.read(c)
	if err != nil {
		return nil, err
	}
	if err := t.connect(); err != nil {
		return nil, err
	}
	if !isLocal(t.at) {
		return nil, errors.New("the admin API is not on this machine, and the token would be sent unencrypted: run the command where Caddy runs")
	}
	path := "/instagram/accounts/" + t.account + "/token"
	return ifDone(&importedToken{Account: t.account}, t.call(ctx, http.MethodPost, path, strings.NewReader(string(token)), nil))
}

// isLocal reports whether an address of an admin API is on this machine. One that stands for
// all addresses of a machine is, as that of a client.
func isLocal(address string) bool {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(parsed.Host)
	return parsed.IsUnixNetwork() || parsed.Host == "localhost" || parsed.Host == "" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}

func (i *importedToken) text(c *console) {
	c.printf("Caddy keeps the token of the account %s now. 'caddy instagram accounts' shows how it is doing.\n", i.Account)
}
