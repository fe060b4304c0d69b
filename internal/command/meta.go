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

// metaFlags are the flags of the sub-commands that call the Graph API.
type metaFlags struct {
	login   string
	version string
	url     string
	wait    time.Duration
	app     string
	token   *secretSource
	secret  *secretSource
}

// register adds the flags that all these sub-commands have.
func (m *metaFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.version, "api-version", graph.DefaultVersion, "The `version` of the Graph API")
	cmd.Flags().StringVar(&m.url, "graph-url", "", fmt.Sprintf("The `url` in place of https://%s or https://%s", graph.InstagramLogin.Host(), graph.FacebookLogin.Host()))
	cmd.Flags().DurationVar(&m.wait, "wait", time.Minute, "Longest `time` to wait, in each call, for Meta to get well or to stop throttling")
}

// registerAccount adds the flags for calls that are made with the access token
// of an account.
func (m *metaFlags) registerAccount(cmd *cobra.Command) {
	m.register(cmd)
	m.registerLogin(cmd)
	m.token = accessToken()
	m.token.register(cmd)
}

// registerLogin adds the flag for the login.
func (m *metaFlags) registerLogin(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.login, "login", string(graph.InstagramLogin), "The `login` that the access token is of: "+graph.LoginList())
}

// registerProof adds the flag for the secret that proves calls to
// graph.facebook.com.
func (m *metaFlags) registerProof(cmd *cobra.Command) {
	m.secret = appSecret()
	m.secret.register(cmd)
}

// registerApp adds the flags for calls that an app makes about itself.
func (m *metaFlags) registerApp(cmd *cobra.Command) {
	m.register(cmd)
	cmd.Flags().StringVar(&m.app, "app", "", "The `id` of the app at Meta (needed)")
	m.secret = appSecret()
	m.secret.register(cmd)
}

// account returns a client that calls with the access token of an account.
func (m *metaFlags) account(c *console) (*graph.Client, error) {
	client, err := m.client(c, graph.Login(m.login))
	if err != nil {
		return nil, err
	}
	if client.Token, err = m.token.read(c); err != nil {
		return nil, err
	}
	if m.secret != nil && client.Login.Proves() {
		client.AppSecret, err = m.secret.lookup(c)
	}
	return client, err
}

// ofApp returns a client that calls as the app itself.
func (m *metaFlags) ofApp(c *console) (*graph.Client, error) {
	client, err := m.client(c, graph.FacebookLogin)
	if err != nil {
		return nil, err
	}
	if m.app == "" {
		return nil, errors.New("--app is missing: the id that the App Dashboard shows beside the app's secret")
	}
	if err := graph.ValidateID(m.app); err != nil {
		return nil, fmt.Errorf("--app: %w", err)
	}
	secret, err := m.secret.read(c)
	if err != nil {
		return nil, err
	}
	client.Token = graph.AppToken(m.app, secret)
	return client, nil
}

func (m *metaFlags) client(c *console, login graph.Login) (*graph.Client, error) {
	client := &graph.Client{Login: login, BaseURL: m.url, Version: m.version, MaxWait: m.wait}
	if m.wait <= 0 {
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

// refused returns an error for a call that changed nothing.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &failure{exitRefused, err}
}

// readBackTime is how long reading back may take when the operator has already
// asked to stop.
const readBackTime = 30 * time.Second

// standing is what reading back found.
type standing struct {
	asAsked, asBefore bool
}

// confirm reads back what holds after a call that was to change something and
// ended with err, and says what became of it.
func confirm(ctx context.Context, c *console, err error, look func(context.Context) (standing, error)) error {
	if err != nil && !errors.Is(err, graph.ErrUncertain) {
		return refused(err)
	}
	// Not even an interrupt leaves it open what holds now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTime)
	defer cancel()
	now, lookErr := look(ctx)
	switch {
	case lookErr != nil && err != nil:
		return &failure{exitPartial, fmt.Errorf("it is not known whether anything was changed: %w; and reading back failed: %w", err, lookErr)}
	case lookErr != nil:
		return &failure{exitPartial, fmt.Errorf("the change succeeded, says Meta, but reading back failed: %w", lookErr)}
	case err != nil && now.asBefore:
		return refused(fmt.Errorf("reading back shows that nothing was changed: %w", err))
	case now.asAsked:
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
	return visible(strings.Join(names, ", "))
}
