package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

func tokenCommand() *cobra.Command {
	g := new(graphFlags)
	show := newCommand("show", "Show whose an access token is, and until when it is valid", `
Shows whose an access token is, and until when it is valid.

Of a token of Instagram Login, Meta tells the end only when it is refreshed. For
one that is in a file, the latest end is shown: 60 days after the file was
written, unless the token was refreshed elsewhere since.

A token of Facebook Login or Unified Login is looked into: Meta tells its end and
its permissions. One of Unified Login is a system user's (Business Integration
System User), and does not tell which Instagram account it is for.
`+exitCodes, `  $ caddy instagram token show --token-file token
  $ caddy instagram token show --login facebook --token-file page-token --json
  $ caddy instagram token show --login unified --token-file system-token`, 0, g.showToken)
	g.registerAccount(show)
	g.registerSecret(show)

	refresh := newCommand("refresh", "Renew a long-lived access token of Instagram Login in its file", `
Renews a long-lived access token of Instagram Login, which must be at least a day
old and not expired, for 60 more days. The new token replaces the old one in its
file at once, with the same mode and owner, so it must come from --token-file.
Run it once a week, by cron for example.

Meta has no such call for tokens of Facebook Login and Unified Login: watch these
with 'caddy instagram token show'.
`+exitCodes, `  $ caddy instagram token refresh --token-file token`, 0, g.refreshToken)
	g.registerAccount(refresh)
	refresh.Flags().Lookup(g.token.flag).Usage = "The `file` with the access token, which is replaced (needed)"

	return group(&cobra.Command{Use: "token", Short: "Whose an access token is, and how long it lives"}, `
Shows whose an access token is and until when it is valid, renews one of Instagram
Login, and hands one to the running Caddy, which then renews it itself. Tokens of
other logins can only be watched. A dead token ends the account's webhooks.
`+exitCodes, show, refresh, importCommand())
}

// tokenInfo is the result of show. Times are not there where they are not known,
// and Never is set for a token that does not end.
type tokenInfo struct {
	outcome
	Account     string      `json:"account,omitempty"`
	SystemUser  string      `json:"system_user,omitempty"`
	Name        string      `json:"name"`
	Login       graph.Login `json:"login"`
	App         string      `json:"app,omitempty"`
	Kind        string      `json:"kind,omitempty"`
	Expires     time.Time   `json:"expires_at,omitzero"`
	Latest      time.Time   `json:"expires_latest,omitzero"`
	Never       bool        `json:"never_expires,omitempty"`
	DataExpires time.Time   `json:"data_access_expires_at,omitzero"`
	Permissions []string    `json:"permissions,omitempty"`
}

func (g *graphFlags) showToken(ctx context.Context, c *console, _ []string) (result, error) {
	client, err := g.accountClient(c)
	if err != nil {
		return nil, err
	}
	owner, err := client.Me(ctx)
	if err != nil {
		return nil, refused(err)
	}
	r := &tokenInfo{Account: owner.Account, SystemUser: owner.SystemUser, Name: owner.Name, Login: client.Login}
	if !client.Login.Debugs() {
		if info, err := os.Stat(g.token.file); err == nil && info.Mode().IsRegular() {
			r.Latest = info.ModTime().Add(graph.TokenLife).UTC().Truncate(time.Second)
		}
		return r, nil
	}
	d, err := client.Debug(ctx)
	if err != nil {
		return r, refused(fmt.Errorf("the token works, but Meta does not tell more about it: %w", err))
	}
	r.App, r.Kind = d.App, d.Kind
	r.Expires, r.Never, r.DataExpires = d.Expires.UTC(), d.Expires.IsZero(), d.DataExpires.UTC()
	r.Permissions = slices.Sorted(slices.Values(d.Permissions))
	if !d.Valid {
		return r, refused(errors.New("the token is not valid, says Meta"))
	}
	return r, nil
}

// watchOnly is the advice for a token that cannot be renewed.
const watchOnly = "Meta has no call that renews it; watch it, and get a new one by a new login before it ends"

func (t *tokenInfo) text(c *console) {
	owner := []string{"account", t.Account + " (" + t.Name + ")"}
	if t.SystemUser != "" {
		owner = []string{"system user", t.SystemUser + " (" + t.Name + "); the token does not tell the account"}
	}
	validUntil := "not known"
	switch {
	case t.Never:
		validUntil = "it does not expire"
	case !t.Expires.IsZero():
		validUntil = until(t.Expires)
	case !t.Latest.IsZero():
		validUntil = "not known; at the latest " + until(t.Latest) + ", unless refreshed elsewhere"
	}
	dataUntil, renewal := "", watchOnly
	if !t.DataExpires.IsZero() {
		dataUntil = until(t.DataExpires)
	}
	if t.Login.Refreshes() {
		renewal = ""
	}
	c.details([][]string{
		owner,
		{"login", t.Login.Name()},
		{"app", t.App},
		{"kind", t.Kind},
		{"valid until", validUntil},
		{"data access until", dataUntil},
		{"permissions", strings.Join(t.Permissions, ", ")},
		{"renewal", renewal},
	})
}

// until returns a time as text with the days until then.
func until(t time.Time) string {
	return fmt.Sprintf("%s (%d days)", timeText(t), int(time.Until(t)/(24*time.Hour)))
}

// refreshedToken is the result of refresh.
type refreshedToken struct {
	outcome
	File    string    `json:"file"`
	Expires time.Time `json:"expires_at"`
}

func (g *graphFlags) refreshToken(ctx context.Context, c *console, _ []string) (result, error) {
	if login := graph.Login(g.login); !login.Refreshes() {
		return nil, fmt.Errorf("a token of %s cannot be refreshed: %s; 'caddy instagram token show --login %s' shows "+
			"until when it is valid", login.Name(), watchOnly, login)
	}
	if g.token.file == "" || g.token.file == "-" {
		return nil, errors.New("--token-file is missing: the new token must replace the old one in its file, as it is never printed")
	}
	client, err := g.accountClient(c)
	if err != nil {
		return nil, err
	}
	// What can fail should do so before there is a new token.
	f, err := replaceFile(g.token.file)
	if err != nil {
		return nil, err
	}
	defer f.discard()
	token, expires, err := client.Refresh(ctx)
	if err != nil {
		return nil, refused(err)
	}
	if err := f.commit([]byte(string(token) + "\n")); err != nil {
		return nil, &failure{exitPartial, fmt.Errorf("the token was renewed, but it is not certain that the new one "+
			"is on disk: %w; the old one works until it expires: fix this and run the command again", err)}
	}
	return &refreshedToken{File: g.token.file, Expires: expires.UTC().Truncate(time.Second)}, nil
}

func (r *refreshedToken) text(c *console) {
	c.printf("%s holds a new token, valid until %s\n", r.File, until(r.Expires))
}
