package command

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// callbackFlags are the flags of `caddy instagram callback`.
type callbackFlags struct {
	graphFlags
	object, callback string
	values           bool
	verifyToken      *secretSource
}

func callbackCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "callback",
		Aliases: []string{"callbacks"},
		Short:   "Where Meta delivers what your app gets",
	}, `
Shows and changes the subscriptions of the app itself: for each object, the
callback URL and the fields. It needs the app's id and its secret (IG_APP_SECRET
or --app-secret-file), which is the Meta app secret.

The product "Instagram API with Instagram Login" has a callback URL of its own
in the App Dashboard. Meta does not say whether this command sets it, too.
`+exitCodes, callbackListCommand(), callbackSetCommand(), callbackRemoveCommand())
}

// command returns a sub-command with the flags.
func (b *callbackFlags) command(use, short, long, example string, do action) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, RunE: run(0, do)}
	b.register(cmd)
	b.registerSecret(cmd)
	cmd.Flags().StringVar(&b.app, "app", "", "The `id` of the app at Meta (needed)")
	return cmd
}

func callbackListCommand() *cobra.Command {
	b := new(callbackFlags)
	return b.command("list", "List the app's callbacks", `
Lists the app's callbacks with their fields.
`+exitCodes, `  $ caddy instagram callback list --app 1234567890 --app-secret-file secret
  $ caddy instagram callback list --app 1234567890 --app-secret-file secret --json`, b.list)
}

func callbackSetCommand() *cobra.Command {
	b := new(callbackFlags)
	cmd := b.command("set", "Set the app's callback", `
Sets the callback URL and the fields of an object, in place of those before.
During this call Meta makes its verification request to the URL: Caddy must run
there, with the same verify token (IG_VERIFY_TOKEN or --verify-token-file). So
the call is made even if nothing changes. After, it reads back what holds.
`+exitCodes, `  $ caddy instagram callback set --app 1234567890 --app-secret-file secret --verify-token-file verify \
      --callback-url https://hooks.example.com/webhooks --fields comments,messages --dry-run
  $ caddy instagram callback set --app 1234567890 --app-secret-file secret --verify-token-file verify \
      --callback-url https://hooks.example.com/webhooks --fields comments,messages`, b.set)
	b.registerChange(cmd, fieldsToGet)
	cmd.Flags().StringVar(&b.callback, "callback-url", "", "The `url` that Meta calls (needed)")
	cmd.Flags().BoolVar(&b.values, "include-values", true, "Get what changed, and not just that it did")
	b.verifyToken = verifyToken()
	b.verifyToken.register(cmd)
	return cmd
}

func callbackRemoveCommand() *cobra.Command {
	b := new(callbackFlags)
	cmd := b.command("remove", "Remove the app's callback, or some of its fields", `
Removes the callback of an object, or with --fields only these fields. After, it
reads back what holds.
`+exitCodes, `  $ caddy instagram callback remove --app 1234567890 --app-secret-file secret
  $ caddy instagram callback remove --app 1234567890 --app-secret-file secret --fields mentions`, b.remove)
	b.registerChange(cmd, fieldsToRemove)
	return cmd
}

func (b *callbackFlags) registerChange(cmd *cobra.Command, fields string) {
	b.graphFlags.registerChange(cmd, fields)
	cmd.Flags().StringVar(&b.object, "object", "instagram", "The `object` that the events are about: instagram, page, …")
}

// appCallbacks is the result of list.
type appCallbacks struct {
	outcome
	App       string           `json:"app"`
	Callbacks []graph.Callback `json:"callbacks"`
}

func (b *callbackFlags) list(ctx context.Context, c *console, _ []string) (result, error) {
	client, err := b.ofApp(c)
	if err != nil {
		return nil, err
	}
	all, err := client.Callbacks(ctx, b.app)
	if err != nil {
		return nil, refused(err)
	}
	return &appCallbacks{App: b.app, Callbacks: append([]graph.Callback{}, all...)}, nil
}

func (a *appCallbacks) text(c *console) {
	if len(a.Callbacks) == 0 {
		c.printf("The app %s has no callback.\n", a.App)
		return
	}
	rows := [][]string{{"OBJECT", "ACTIVE", "CALLBACK URL", "FIELDS"}}
	for _, b := range a.Callbacks {
		active := "no"
		if b.Active {
			active = "yes"
		}
		rows = append(rows, []string{b.Object, active, b.URL, list(b.Fields)})
	}
	c.table(rows...)
}

// callbackChange is the result of set and remove. A callback that is not there
// has no URL.
type callbackChange struct {
	outcome
	App    string         `json:"app"`
	DryRun bool           `json:"dry_run,omitempty"`
	Before graph.Callback `json:"before"`
	Wanted graph.Callback `json:"wanted"`
	difference

	// After is what was read back; it is not there if that failed.
	After *graph.Callback `json:"after,omitempty"`
}

func (b *callbackFlags) set(ctx context.Context, c *console, _ []string) (result, error) {
	fields, err := b.wanted()
	if err != nil {
		return nil, err
	}
	// The app's fields have the names that its accounts have.
	if login, known := map[string]graph.Login{"instagram": graph.InstagramLogin, "page": graph.FacebookLogin}[b.object]; known {
		if err := checkFields(c, login, fields); err != nil {
			return nil, err
		}
	}
	if err := validateCallback(b.callback); err != nil {
		return nil, err
	}
	client, err := b.ofApp(c)
	if err != nil {
		return nil, err
	}
	token, err := b.verifyToken.read(c)
	if err != nil {
		return nil, err
	}
	wanted := graph.Callback{Object: b.object, URL: b.callback, Fields: fields, Active: true}
	return b.change(ctx, c, client, func(before graph.Callback) (graph.Callback, error) {
		return wanted, nil
	}, func(ctx context.Context) error {
		return client.SetCallback(ctx, b.app, wanted, token, b.values)
	})
}

func validateCallback(callback string) error {
	u, err := url.Parse(callback)
	switch {
	case callback == "":
		return errors.New("--callback-url is missing")
	case err != nil, u.Scheme != "https", u.Host == "":
		return errors.New("--callback-url must begin with https://, as Meta calls nothing else")
	case u.User != nil, u.Fragment != "":
		return errors.New("--callback-url must have no user and no fragment")
	}
	return nil
}

func (b *callbackFlags) remove(ctx context.Context, c *console, _ []string) (result, error) {
	fields, err := names(b.fields)
	if err != nil {
		return nil, err
	}
	client, err := b.ofApp(c)
	if err != nil {
		return nil, err
	}
	return b.change(ctx, c, client, func(before graph.Callback) (graph.Callback, error) {
		left, err := without(before.Fields, fields)
		if err != nil || len(left) == 0 {
			return b.none(), err
		}
		before.Fields = left
		return before, nil
	}, func(ctx context.Context) error {
		return client.RemoveCallback(ctx, b.app, b.object, fields)
	})
}

// change makes the callback what wanted says, and reads back what it is.
func (b *callbackFlags) change(ctx context.Context, c *console, client *graph.Client,
	wanted func(before graph.Callback) (graph.Callback, error), do func(context.Context) error,
) (result, error) {
	before, err := b.find(ctx, client)
	if err != nil {
		return nil, refused(err)
	}
	goal, err := wanted(before)
	if err != nil {
		return nil, err
	}
	r := &callbackChange{
		App: b.app, DryRun: b.dryRun, Before: before, Wanted: goal, difference: compare(before.Fields, goal.Fields),
	}
	nothing := goal.URL == "" && before.URL == ""
	if nothing && !b.dryRun {
		r.After = &before
	}
	return b.carryOut(ctx, c, r, nothing, do, func(ctx context.Context) (asAsked, asBefore bool, err error) {
		after, err := b.find(ctx, client)
		if err == nil {
			r.After = &after
		}
		return same(after, goal), same(after, before), err
	})
}

// find returns the callback for the object, without a URL if there is none.
func (b *callbackFlags) find(ctx context.Context, client *graph.Client) (graph.Callback, error) {
	all, err := client.Callbacks(ctx, b.app)
	for _, found := range all {
		if found.Object == b.object {
			slices.Sort(found.Fields)
			return found, err
		}
	}
	return b.none(), err
}

// none is the callback of an object that has none.
func (b *callbackFlags) none() graph.Callback {
	return graph.Callback{Object: b.object, Fields: []string{}}
}

func same(a, b graph.Callback) bool {
	return a.URL == b.URL && a.Active == b.Active && compare(a.Fields, b.Fields).none()
}

// plan prints what is to be done, before it is done.
func (r *callbackChange) plan(c *console) {
	c.printf("App %s, object %s\n", r.App, r.Wanted.Object)
	before, after := r.Before.URL, r.Wanted.URL
	if before != after && before != "" {
		c.printf("%s\n", c.paint(red, "  - "+before))
	}
	if before != after && after != "" {
		c.printf("%s\n", c.paint(green, "  + "+after))
	}
	if before == after && after != "" {
		c.printf("    %s\n", after)
	}
	if r.Wanted.Active && before != "" && !r.Before.Active {
		c.printf("%s\n", c.paint(green, "  + active"))
	}
	r.difference.text(c)
	if r.Wanted.URL != "" && r.Wanted.Object == "instagram" {
		for _, login := range graph.Logins() {
			printPermissions(c, login, login.Permissions(r.Wanted.Fields))
		}
	}
}

func (r *callbackChange) text(c *console) {
	var after []string
	asAsked := false
	if r.After != nil {
		after = append([]string{r.After.URL}, r.After.Fields...)
		asAsked = same(*r.After, r.Wanted)
	}
	nothing := same(r.Before, r.Wanted)
	verdict(c, r.DryRun, nothing && (r.DryRun || r.Wanted.URL == ""), after, asAsked)
}
