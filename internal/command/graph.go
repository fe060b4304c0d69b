package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// graphFlags are the flags of the sub-commands that call the Graph API. Each
// register method adds those that some sub-commands have.
type graphFlags struct {
	login, version, url string
	wait                time.Duration
	token, secret       secretSource

	client         *graph.Client // once it is made
	app, accountID string
	fields         []string
	dryRun         bool
}

func (g *graphFlags) register(cmd *cobra.Command) {
	base := fmt.Sprintf("The `url` in place of https://%s or https://%s", graph.InstagramLogin.Host(), graph.FacebookLogin.Host())
	cmd.Flags().StringVar(&g.version, "api-version", graph.DefaultVersion, "The `version` of the Graph API")
	cmd.Flags().StringVar(&g.url, "graph-url", "", base)
	cmd.Flags().DurationVar(&g.wait, "wait", time.Minute, "Longest `time` to wait, in each call, for Meta to recover or to stop throttling")
}

// registerAccount is for calls that are made with the access token of an account.
func (g *graphFlags) registerAccount(cmd *cobra.Command) {
	g.register(cmd)
	cmd.Flags().StringVar(&g.login, "login", string(graph.InstagramLogin), "The `login` that the access token is of: "+graph.LoginList())
	g.token = accessToken
	g.token.register(cmd)
}

// registerSecret is for calls that the app secret proves.
func (g *graphFlags) registerSecret(cmd *cobra.Command) {
	g.secret = appSecret
	g.secret.register(cmd)
}

// registerChange is for changes of fields.
func (g *graphFlags) registerChange(cmd *cobra.Command, fields string) {
	cmd.Flags().StringSliceVar(&g.fields, "fields", nil, fields)
	cmd.Flags().BoolVar(&g.dryRun, "dry-run", false, "Only show what would change")
}

// Help texts of --fields.
const (
	fieldsToGet    = "The `fields` to get, with commas in between (needed)"
	fieldsToRemove = "The `fields` not to get any more (default: all)"
)

// validateIDs returns an error for an id that cannot be one.
func (g *graphFlags) validateIDs() error {
	for flag, id := range map[string]string{"account": g.accountID, "app": g.app} {
		if err := graph.ValidateID(id); id != "" && err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
	}
	return nil
}

// wanted returns the fields to get, of which there must be one.
func (g *graphFlags) wanted() ([]string, error) {
	fields, err := parseFields(g.fields)
	if err == nil && len(fields) == 0 {
		err = errors.New("--fields is missing; 'caddy instagram fields' lists them")
	}
	return fields, err
}

// accountClient returns a client that calls with the access token of an account.
func (g *graphFlags) accountClient(c *console) (*graph.Client, error) {
	client, err := g.newClient(c, graph.Login(g.login))
	if err != nil {
		return nil, err
	}
	if client.Token, err = g.token.read(c); err != nil {
		return nil, err
	}
	if client.Login.Proves() {
		client.AppSecret, err = g.secret.lookup(c)
	}
	return client, err
}

// appClient returns a client that calls as the app itself.
func (g *graphFlags) appClient(c *console) (*graph.Client, error) {
	client, err := g.newClient(c, graph.FacebookLogin)
	if err != nil {
		return nil, err
	}
	if g.app == "" {
		return nil, errors.New("--app is missing: the id that the App Dashboard shows beside the app's secret")
	}
	if err := g.validateIDs(); err != nil {
		return nil, err
	}
	secret, err := g.secret.read(c)
	if err != nil {
		return nil, err
	}
	client.Token = graph.AppToken(g.app, secret)
	return client, nil
}

func (g *graphFlags) newClient(c *console, login graph.Login) (*graph.Client, error) {
	client := &graph.Client{Login: login, BaseURL: g.url, Version: g.version, MaxWait: g.wait}
	if g.wait <= 0 {
		client.MaxWait = -1
	}
	client.OnWait = func(err error, wait time.Duration) {
		c.note("%s; trying again in %s", err, wait.Round(time.Second/10))
	}
	if err := client.Validate(); err != nil {
		return nil, err
	}
	return client, nil
}

// refused gives an error of a call that changed nothing its exit code.
func refused(err error) error { return withStatus(exitRefused, err) }

// namesText returns names with commas in between, or "none".
func namesText(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
