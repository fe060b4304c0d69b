package command

import (
	"context"
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
	token, secret       *secretSource

	app, accountID string
	fields         []string
	dryRun         bool
}

func (g *graphFlags) register(cmd *cobra.Command) {
	base := fmt.Sprintf("The `url` in place of https://%s or https://%s", graph.InstagramLogin.Host(), graph.FacebookLogin.Host())
	cmd.Flags().StringVar(&g.version, "api-version", graph.DefaultVersion, "The `version` of the Graph API")
	cmd.Flags().StringVar(&g.url, "graph-url", "", base)
	cmd.Flags().DurationVar(&g.wait, "wait", time.Minute, "Longest `time` to wait, in each call, for Meta to get well or to stop throttling")
}

// registerAccount is for calls that are made with the access token of an account.
func (g *graphFlags) registerAccount(cmd *cobra.Command) {
	g.register(cmd)
	cmd.Flags().StringVar(&g.login, "login", string(graph.InstagramLogin), "The `login` that the access token is of: "+graph.LoginList())
	g.token = accessToken()
	g.token.register(cmd)
}

// registerSecret is for calls that the app secret proves.
func (g *graphFlags) registerSecret(cmd *cobra.Command) {
	g.secret = appSecret()
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
	fields, err := names(g.fields)
	if err == nil && len(fields) == 0 {
		err = errors.New("--fields is missing; 'caddy instagram fields' lists them")
	}
	return fields, err
}

// account returns a client that calls with the access token of an account.
func (g *graphFlags) account(c *console) (*graph.Client, error) {
	client, err := g.client(c, graph.Login(g.login))
	if err != nil {
		return nil, err
	}
	if client.Token, err = g.token.read(c); err != nil {
		return nil, err
	}
	if g.secret != nil && client.Login.Proves() {
		client.AppSecret, err = g.secret.lookup(c)
	}
	return client, err
}

// ofApp returns a client that calls as the app itself.
func (g *graphFlags) ofApp(c *console) (*graph.Client, error) {
	client, err := g.client(c, graph.FacebookLogin)
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

func (g *graphFlags) client(c *console, login graph.Login) (*graph.Client, error) {
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

// refused is for an error of a call that changed nothing.
func refused(err error) error { return withStatus(exitRefused, err) }

// plan is the result of a change, which can be shown before it is made.
type plan interface {
	result
	plan(c *console)
}

// carryOut shows a change, and makes it and reads back what holds, unless it is a
// dry run or nothing is to be changed.
func (g *graphFlags) carryOut(ctx context.Context, c *console, p plan, nothing bool,
	change func(context.Context) error, readBack readBack,
) (result, error) {
	if !c.json {
		p.plan(c)
	}
	if g.dryRun || nothing {
		return p, nil
	}
	return p, confirm(ctx, c, change(ctx), readBack)
}

// readBackTime is how long reading back may take when the operator has already
// asked to stop.
const readBackTime = 30 * time.Second

// readBack finds out what holds now.
type readBack func(context.Context) (asAsked, asBefore bool, err error)

// confirm reads back what holds after a call that was to change something and
// ended with err, and says what became of it.
func confirm(ctx context.Context, c *console, err error, readBack readBack) error {
	if err != nil && !errors.Is(err, graph.ErrUncertain) {
		return refused(err)
	}
	// Not even an interrupt leaves it open what holds now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTime)
	defer cancel()
	asAsked, asBefore, readErr := readBack(ctx)
	switch {
	case readErr != nil && err != nil:
		return &failure{exitPartial, fmt.Errorf("it is not known whether anything was changed: %w; and reading back failed: %w", err, readErr)}
	case readErr != nil:
		return &failure{exitPartial, fmt.Errorf("the change succeeded, says Meta, but reading back failed: %w", readErr)}
	case err != nil && asBefore:
		return refused(fmt.Errorf("reading back shows that nothing was changed: %w", err))
	case asAsked:
		if err != nil {
			c.note("It took effect, although the call failed: %s", err)
		}
		return nil
	case err != nil:
		return &failure{exitPartial, fmt.Errorf("what holds now is not what was asked for: %w", err)}
	}
	return &failure{exitPartial, errors.New("the change succeeded, says Meta, but what holds now is not what was asked for")}
}

// list returns names as people read them.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// verdict prints what became of a change.
func verdict(c *console, dryRun, nothing bool, after []string, asAsked bool) {
	switch {
	case dryRun && nothing:
		c.printf("Nothing would change.\n")
	case dryRun:
		c.printf("Nothing was changed: this was --dry-run.\n")
	case nothing:
		c.printf("Nothing to change.\n")
	case after == nil:
	case asAsked:
		c.printf("Done, and read back.\n")
	default:
		c.printf("Read back: %s\n", list(after))
	}
}
