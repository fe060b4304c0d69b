package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// subscriptionFlags are the flags of `caddy instagram subscriptions`.
type subscriptionFlags struct{ graphFlags }

func subscriptionsCommand() *cobra.Command {
	s := new(subscriptionFlags)
	list := s.command("list", "List the apps that are subscribed to an account", `
Lists the apps that are subscribed to an account, with their fields, as far as
the access token may see them.
`+exitCodes, `  $ caddy instagram subscriptions list --token-file token
  $ caddy instagram subscriptions list --account 17841400000000001 --token-file token --json`, s.list)

	set := s.command("set", "Subscribe your app to fields of an account", `
Subscribes your app to fields of an account. They replace those that it was
subscribed to. Before, it names the fields that Meta would refuse, and the
permissions that the others need. After, it reads back what holds.

With --login facebook the fields have the Page's names: message_reads, for
example, where Instagram says messaging_seen. A Page has none for comments,
live_comments, mentions and story_insights: subscribe the app to these, and the
Page to any field of its own, such as feed. With --login unified there are nine
fields. 'caddy instagram fields' has all names.
`+exitCodes, `  $ caddy instagram subscriptions set --account 17841400000000001 --fields comments,messages --token-file token --dry-run
  $ caddy instagram subscriptions set --account 17841400000000001 --fields comments,messages --token-file token
  $ caddy instagram subscriptions set --login facebook --account 100000000000001 --fields messages,message_reads --token-file page-token
  $ caddy instagram subscriptions set --login unified --account 17841400000000001 --fields comments,messages --token-file system-token`, s.set)
	s.registerChange(set, fieldsToGet)

	remove := s.command("remove", "End your app's subscription to an account, or to some of its fields", `
Ends the subscription of your app to an account, or with --fields only to these
fields. After, it reads back what holds.
`+exitCodes, `  $ caddy instagram subscriptions remove --account 17841400000000001 --token-file token
  $ caddy instagram subscriptions remove --account 17841400000000001 --fields mentions --token-file token`, s.remove)
	s.registerChange(remove, fieldsToRemove)

	cmd := &cobra.Command{Use: "subscriptions", Aliases: []string{"subscription"}, Short: "What your app gets of an account"}
	return group(cmd, `
Shows and changes what your app is subscribed to of an account, with the
account's access token (IG_ACCESS_TOKEN or --token-file). The app itself must be
subscribed to these fields first: in the App Dashboard, or with 'caddy instagram
callback set'.

The account is an Instagram account. With --login facebook it is the Facebook
Page that the Instagram account is linked to, and the fields are the Page's own.
With --login unified it is the Instagram account again, and must be named by
--account: the access token, of a system user, does not tell it.
`+exitCodes, list, set, remove)
}

// command returns a sub-command with the flags.
func (s *subscriptionFlags) command(use, short, long, example string, do action) *cobra.Command {
	cmd := newCommand(use, short, long, example, 0, do)
	s.registerAccount(cmd)
	s.registerSecret(cmd)
	cmd.Flags().StringVar(&s.accountID, "account", "", "The `id` of the account (default: whose the token is; needed with --login unified)")
	cmd.Flags().StringVar(&s.app, "app", "", "The `id` of your app, if several are subscribed to the account")
	return cmd
}

// errNoAccount is for a token that does not tell whose account it is for.
var errNoAccount = errors.New("--account is missing: an access token of Unified Login is a system user's, and does " +
	"not tell the account. Give the id of the Instagram professional account, not that of a Page")

// open makes the client, and finds out the account if it was not given.
func (s *subscriptionFlags) open(ctx context.Context, c *console) (err error) {
	if err := s.validateIDs(); err != nil {
		return err
	}
	if s.client, err = s.accountClient(c); err != nil || s.accountID != "" {
		return err
	}
	if s.client.Login == graph.UnifiedLogin {
		return errNoAccount
	}
	owner, err := s.client.Me(ctx)
	s.accountID = owner.Account
	return refused(err)
}

// accountSubscriptions is the result of list.
type accountSubscriptions struct {
	outcome
	Account       string               `json:"account"`
	Subscriptions []graph.Subscription `json:"subscriptions"`
}

func (s *subscriptionFlags) list(ctx context.Context, c *console, _ []string) (result, error) {
	if err := s.open(ctx, c); err != nil {
		return nil, err
	}
	all, err := s.client.Subscriptions(ctx, s.accountID)
	if err != nil {
		return nil, refused(err)
	}
	for _, subscription := range all {
		slices.Sort(subscription.Fields)
	}
	return &accountSubscriptions{Account: s.accountID, Subscriptions: append([]graph.Subscription{}, all...)}, nil
}

func (a *accountSubscriptions) text(c *console) {
	if len(a.Subscriptions) == 0 {
		c.printf("No app is subscribed to the account %s.\n", a.Account)
		return
	}
	rows := [][]string{{"APP", "FIELDS"}}
	for _, s := range a.Subscriptions {
		rows = append(rows, []string{s.App, namesText(s.Fields)})
	}
	c.list(1, rows)
}

func (s *subscriptionFlags) set(ctx context.Context, c *console, _ []string) (result, error) {
	fields, err := s.wanted()
	if err != nil {
		return nil, err
	}
	if err := validateFields(c, graph.Login(s.login), fields); err != nil {
		return nil, err
	}
	return s.change(ctx, c, func(graph.Callback) (graph.Callback, error) {
		return graph.Callback{Fields: fields}, nil
	})
}

func (s *subscriptionFlags) remove(ctx context.Context, c *console, _ []string) (result, error) {
	fields, err := parseFields(s.fields)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, c, func(before graph.Callback) (_ graph.Callback, err error) {
		before.Fields, err = without(before.Fields, fields)
		return before, err
	})
}

func (s *subscriptionFlags) change(ctx context.Context, c *console, goal goal) (result, error) {
	if err := s.open(ctx, c); err != nil {
		return nil, err
	}
	login := s.client.Login
	r := &change{
		Account: s.accountID, Login: login, DryRun: s.dryRun,
		title: fmt.Sprintf("Account %s, %s", s.accountID, login.Name()), logins: []graph.Login{login},
	}
	return r.carryOut(ctx, c, s, func(before graph.Callback) (graph.Callback, error) {
		wanted, err := goal(before)
		needed := login.Permissions(wanted.Fields)
		r.Permissions = &needed
		return wanted, err
	})
}

func (s *subscriptionFlags) write(ctx context.Context, wanted graph.Callback) error {
	if len(wanted.Fields) == 0 {
		return s.client.Unsubscribe(ctx, s.accountID)
	}
	return s.client.Subscribe(ctx, s.accountID, wanted.Fields)
}

// read returns the fields that the token's app is subscribed to.
func (s *subscriptionFlags) read(ctx context.Context) (graph.Callback, error) {
	own := graph.Callback{Fields: []string{}}
	all, err := s.client.Subscriptions(ctx, s.accountID)
	if err != nil {
		return own, refused(err)
	}
	if s.app == "" && s.client.Login.Debugs() && len(all) > 0 {
		// A Page shows the apps of others, too.
		details, err := s.client.Debug(ctx)
		if err != nil {
			return own, refused(fmt.Errorf("which of the subscribed apps is yours cannot be found out, say it with --app: %w", err))
		}
		s.app = details.App
	}
	if s.app == "" && len(all) > 1 {
		return own, fmt.Errorf("%d apps are subscribed to the account: say with --app which is yours", len(all))
	}
	for _, subscription := range all {
		if s.app == "" || subscription.App == s.app {
			own.Fields = append(own.Fields, subscription.Fields...)
		}
	}
	slices.Sort(own.Fields)
	return own, nil
}
