// Package account looks after the accounts that deliveries come from: their access
// tokens, what they are subscribed to, and whether they still send anything.
//
// Gateways that share Caddy's storage share what is known of the accounts, and act one
// at a time.
package account

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
)

// Managed is the Token of an account whose token is kept in Caddy's storage.
const Managed = "managed"

// The values of Reconcile.
const (
	Off    = "off"
	Report = "report"
	Repair = "repair"
)

// Account is an account that is looked after.
type Account struct {
	// ID is the id of the Instagram professional account or, with the login
	// `facebook`, of the Page that it is linked to. Required.
	ID string `json:"id,omitempty"`

	// Login is the way in which the account gave your app its rights: `instagram`,
	// `facebook` or `unified`. Default: `instagram`.
	Login string `json:"login,omitempty"`

	// Token is the access token: a placeholder, `{file.*}` or `{env.*}`, or `managed`.
	// A managed token is imported once by `caddy instagram token import`, kept
	// encrypted in Caddy's storage, and renewed there if its login allows it. Required.
	Token string `json:"token,omitempty"`

	// Fields are what your app should be subscribed to of the account. With the login
	// `facebook` they have the Page's names.
	Fields []string `json:"fields,omitempty"`

	// Reconcile is what happens if the account is not subscribed to all Fields: `off`
	// is nothing, `report` tells of it, and `repair` subscribes to what is missing.
	// Default: `report` if there are fields, else `off`.
	Reconcile string `json:"reconcile,omitempty"`

	// Silence is how long nothing may come from the account before an alarm. Default:
	// learned from the pauses between its events, at least 6 hours.
	Silence caddy.Duration `json:"silence,omitempty"`

	// AppID is the id of your app. It is recommended with Instagram Login, whose tokens do
	// not tell it, and needed if several apps are subscribed to the account.
	AppID string `json:"app_id,omitempty"`

	// AppSecret is the secret of that app, as a placeholder. It proves calls with the
	// logins `facebook` and `unified`.
	AppSecret string `json:"app_secret,omitempty"`

	// Callback is the callback URL of that app. Where it is another one at Meta,
	// nothing is repaired.
	Callback string `json:"callback,omitempty"`

	// APIVersion is the version of the Graph API. Default: `v26.0`.
	APIVersion string `json:"api_version,omitempty"`

	// GraphURL stands in place of `https://graph.instagram.com` or
	// `https://graph.facebook.com`, for tests and proxies.
	GraphURL string `json:"graph_url,omitempty"`

	appSecret graph.Secret
}

// minSilence is the shortest silence that can be configured, in view of how often it is
// looked for.
const minSilence = 5 * time.Minute

// Validate returns an error for an account that cannot be looked after. It never repeats
// a secret.
func (a *Account) Validate() error {
	if err := graph.ValidateID(a.ID); err != nil {
		return err
	}
	if err := a.validate(); err != nil {
		return fmt.Errorf("account %s: %w", a.ID, err)
	}
	return nil
}

func (a *Account) validate() error {
	if err := cmp.Or(
		option.OneOf("login", a.Login, loginNames()...),
		option.OneOf("reconcile", a.Reconcile, Off, Report, Repair),
		a.client("").Validate(),
		a.validateFields(),
	); err != nil {
		return err
	}
	switch {
	case a.Token == "":
		return errors.New("token is missing: a placeholder such as {file./run/secrets/ig-token}, or managed")
	case a.Token != Managed && !placeholder.IsSingle(a.Token):
		return errors.New("token must be {file.PATH}, {env.NAME} or managed, so that it does not stand in the config")
	case a.mode() != Off && len(a.Fields) == 0:
		return fmt.Errorf("reconcile %s needs fields, such as: fields comments messages", a.Reconcile)
	case a.Silence != 0 && time.Duration(a.Silence) < minSilence:
		return fmt.Errorf("silence must be at least %s", minSilence)
	case a.AppID != "" && graph.ValidateID(a.AppID) != nil:
		return errors.New("the id of the app must be 1 to 20 digits")
	case a.AppSecret != "" && a.AppID == "":
		return errors.New("the secret of the app needs its id before it")
	case a.AppSecret != "" && !placeholder.IsSingle(a.AppSecret):
		return errors.New("the secret of the app must be {file.PATH} or {env.NAME}, so that it does not stand in the config")
	case a.Callback != "" && (a.AppSecret == "" || !strings.HasPrefix(a.Callback, "https://")):
		return errors.New("the callback URL of the app must begin with https://, and needs the secret of the app before it")
	}
	return nil
}

// validateFields refuses fields that Meta would refuse: one voids a whole call.
func (a *Account) validateFields() error {
	for _, field := range a.Fields {
		if problem := a.login().FieldProblem(field); problem != "" {
			return errors.New(problem)
		}
	}
	return nil
}

// provision resolves the secrets once, so that one that is missing is an error of the
// config.
func (a *Account) provision() (err error) {
	if a.Token != Managed {
		if _, err = placeholder.Resolve(a.Token); err != nil {
			return fmt.Errorf("account %s: token: %w", a.ID, err)
		}
	}
	if a.AppSecret == "" {
		return nil
	}
	secret, err := placeholder.Resolve(a.AppSecret)
	a.appSecret = graph.Secret(secret)
	if err != nil {
		return fmt.Errorf("account %s: the secret of the app: %w", a.ID, err)
	}
	return nil
}

func loginNames() (names []string) {
	for _, l := range graph.Logins() {
		names = append(names, string(l))
	}
	return names
}

func (a *Account) login() graph.Login {
	return cmp.Or(graph.Login(a.Login), graph.InstagramLogin)
}

func (a *Account) managed() bool { return a.Token == Managed }

// renewed reports whether the token of the account is renewed here.
func (a *Account) renewed() bool { return a.managed() && a.login().Refreshes() }

func (a *Account) mode() string {
	if a.Reconcile == "" && len(a.Fields) > 0 {
		return Report
	}
	return cmp.Or(a.Reconcile, Off)
}

// client returns a client that calls with a token of the account, and repeats nothing.
func (a *Account) client(token graph.Secret) *graph.Client {
	return &graph.Client{
		Login: a.login(), BaseURL: a.GraphURL, Version: a.APIVersion,
		Token: token, AppSecret: a.appSecret, MaxWait: -1,
	}
}

// access returns the options that may decide whether a token works.
func (a *Account) access() *Account {
	return &Account{
		ID: a.ID, Login: a.Login, Token: a.Token, AppID: a.AppID, AppSecret: a.AppSecret,
		APIVersion: a.APIVersion, GraphURL: a.GraphURL,
	}
}

// hash returns a text that changes with the config of the account.
func (a *Account) hash() string {
	text, _ := json.Marshal(a) // it has only texts and numbers
	return fingerprint(string(text))
}

// fingerprint tells texts, such as tokens, apart without revealing them.
func fingerprint(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// missing returns the wanted fields that are not among those that the app has.
func (a *Account) missing(have []string) []string {
	return slices.DeleteFunc(slices.Sorted(slices.Values(a.Fields)), func(f string) bool { return slices.Contains(have, f) })
}
