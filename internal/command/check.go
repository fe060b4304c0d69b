package command

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/check"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// checkFlags are the flags of `caddy instagram check`.
type checkFlags struct {
	graphFlags
	check.Checker
	verifyToken secretSource
	tls         tlsFlags
}

// exitFault is the exit code for faults; exitInput is that for warnings here.
const exitFault = 2

func checkCommand() *cobra.Command {
	k := new(checkFlags)
	cmd := newCommand("check <url>", "Find out what is wrong with a callback URL", `
Finds out what is wrong with a callback URL, and says what to do about it.

From outside, it does what Meta does: it looks the name up, connects, verifies
the certificate, sends the verification request, and signed and forged
deliveries. Run it on another machine than Caddy's to see what Meta sees.

THE DELIVERIES REACH YOUR APPLICATION as events, about 1000 of them. They look
like those of the Test button in the App Dashboard: the account "0", and ids that
are nobody's. {instagram.test} is true for them. --no-deliveries sends none, and
no other request that could change anything.

With --config, it also looks from inside: secrets that are not set, CAs that
expire, PHP that answers 200 to errors, the disks that events are written to. It
loads the config as 'caddy validate' does, and writes a small file into these
directories and removes it. It asks the running Caddy, by its admin API, how the
queue is. Run it as Caddy's user and with Caddy's environment. Verify token and
app secrets are those of the config, unless they are given by
--verify-token-file and --app-secret-file.

The deauthorize and the data deletion request callback, if the config has them or
their URLs are given, get signed requests for the user "0", authentic and forged
ones, and the page that a deletion names is looked at.

With an access token, it asks Meta how long that lives, what the account is
subscribed to, and, where the login has a call for that, whether the token lacks
a permission.

Checks that need something that is missing or broken are skipped. Each has a name
that stays the same.

Exit codes:
  0  all is well
  1  there are warnings
  2  there are faults, or nothing could be checked
`+outputCode, `  $ caddy instagram check https://hooks.example.com/webhooks --verify-token-file verify --app-secret-file secret
  $ caddy instagram check https://hooks.example.com/webhooks --config /etc/caddy/Caddyfile
  $ caddy instagram check https://hooks.example.com/webhooks --no-deliveries --token-file token \
      --account 17841400000000001 --fields comments,messages --json`, math.MaxInt, k.run)
	k.registerAccount(cmd)
	k.wait = 10 * time.Second
	cmd.Flags().Lookup("wait").DefValue = k.wait.String()

	k.registerSecret(cmd)
	k.verifyToken = verifyToken
	k.verifyToken.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&k.Config, "config", "", "The config `file` of the Caddy behind the URL: a Caddyfile, or JSON if the name ends in .json")
	k.tls.register(cmd, "The PEM `file` with the CAs that the certificate must come from (default: the system's)")
	flags.DurationVar(&k.Timeout, "timeout", check.DefaultTimeout, "Longest `time` for each request and the like")
	flags.BoolVar(&k.NoDeliveries, "no-deliveries", false, "Send no deliveries")
	flags.StringVar(&k.DeauthorizeURL, "deauthorize-url", "", "The `URL` of the deauthorize callback (default: that of the config)")
	flags.StringVar(&k.DeletionURL, "deletion-url", "", "The `URL` of the data deletion request callback (default: that of the config)")
	flags.StringVar(&k.accountID, "account", "", "The `id` of the account to look at (default: whose the access token is; needed with --login unified)")
	flags.StringVar(&k.app, "app", "", "The `id` of your app, if several are subscribed to the account")
	flags.StringSliceVar(&k.fields, "fields", nil, "The `fields` that the account must be subscribed to, with commas in between")
	refuseFlags(cmd, exitFault)
	return cmd
}

// run makes the checks. Errors and faults have the exit code 2, and warnings 1.
func (k *checkFlags) run(ctx context.Context, c *console, args []string) (result, error) {
	r, err := k.check(ctx, c, args)
	switch {
	case r == nil:
		return nil, withStatus(exitFault, err)
	case err == nil && r.Status == check.Warning:
		return r, errReported
	case err == nil && r.Status == check.Fault:
		err = errReported
	}
	return r, withStatus(exitFault, err)
}

func (k *checkFlags) check(ctx context.Context, c *console, args []string) (_ *checked, err error) {
	if len(args) != 1 {
		// The arguments are not repeated: they may be secrets in the wrong place.
		return nil, errors.New("check takes one argument, the callback URL")
	}
	k.URL, k.Account, k.App, k.Admin = args[0], k.accountID, k.app, askAdmin
	if k.Timeout <= 0 {
		return nil, errors.New("--timeout must be longer than nothing")
	}
	k.Roots, k.Certificate, err = k.tls.read(false)
	if err = errors.Join(err, k.readSecrets(c), k.connectGraph(c)); err != nil {
		return nil, err
	}
	r := &checked{c: c}
	r.URL, _, _ = strings.Cut(k.URL, "?") // which may hold a secret
	if !c.json {
		k.OnFinding = r.print
	}
	if r.Report, err = k.Run(ctx); r.Report == nil {
		return nil, err
	}
	r.Status = r.Worst()
	return r, err
}

// askAdmin gets a path of the queue's admin API.
func askAdmin(ctx context.Context, address, path string, query url.Values, found any) error {
	return (&adminClient{address: address}).read(ctx, http.MethodGet, path, query, found)
}

// readSecrets reads the verify token and the app secret. With a config, those in the
// environment do not count: in most cases the config takes them from there.
func (k *checkFlags) readSecrets(c *console) (err error) {
	given := func(s *secretSource) bool {
		return k.Config == "" || c.flags.Changed(s.flag) || c.flags.Changed(s.argument)
	}
	if given(&k.verifyToken) {
		if k.VerifyToken, err = k.verifyToken.lookup(c); err != nil {
			return err
		}
	}
	if given(&k.secret) {
		k.AppSecret, err = k.secret.lookup(c)
	}
	return err
}

// connectGraph makes the client of the Graph API, if there is an access token.
func (k *checkFlags) connectGraph(c *console) (err error) {
	if err := k.validateIDs(); err != nil {
		return err
	}
	if k.Fields, err = parseFields(k.fields); err != nil {
		return err
	}
	if err := validateFields(c, graph.Login(k.login), k.Fields); err != nil {
		return err
	}
	token, err := k.token.lookup(c)
	if err != nil || token == "" {
		return err
	}
	if k.Graph, err = k.newClient(c, graph.Login(k.login)); err != nil {
		return err
	}
	k.Graph.Token = token
	k.Graph.HTTP = &http.Client{Timeout: k.Timeout}
	if k.Graph.Login.Proves() {
		if k.Graph.AppSecret = k.AppSecret; k.AppSecret == "" {
			// It was not read because of the config, so it is in the environment.
			if k.Graph.AppSecret, err = k.secret.lookup(c); err != nil {
				return err
			}
		}
	}
	if info, err := os.Stat(k.token.file); err == nil && info.Mode().IsRegular() {
		k.TokenWritten = info.ModTime()
	}
	return nil
}
