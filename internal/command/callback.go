package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// callbackFlags are the flags of `caddy instagram callback`.
type callbackFlags struct {
	graphFlags
	object, callback string
	values           bool
	verifyToken      secretSource

	verify graph.Secret // the verify token
}

func callbackCommand() *cobra.Command {
	b := &callbackFlags{verifyToken: verifyToken}
	list := b.command("list", "List the app's callbacks", `
Lists the app's callbacks with their fields.
`+exitCodes, `  $ caddy instagram callback list --app 1234567890 --app-secret-file secret
  $ caddy instagram callback list --app 1234567890 --app-secret-file secret --json`, b.list)

	set := b.command("set", "Set the app's callback", `
Sets the callback URL and the fields of an object, in place of those before.
During this call Meta makes its verification request to the URL: Caddy must run
there, with the same verify token (IG_VERIFY_TOKEN or --verify-token-file). So
the call is made even if nothing changes. After, it reads back what holds.
`+exitCodes, `  $ caddy instagram callback set --app 1234567890 --app-secret-file secret --verify-token-file verify \
      --callback-url https://hooks.example.com/webhooks --fields comments,messages --dry-run
  $ caddy instagram callback set --app 1234567890 --app-secret-file secret --verify-token-file verify \
      --callback-url https://hooks.example.com/webhooks --fields comments,messages`, b.set)
	b.registerChange(set, fieldsToGet)
	set.Flags().StringVar(&b.callback, "callback-url", "", "The `url` that Meta calls (needed)")
	set.Flags().BoolVar(&b.values, "include-values", true, "Get what changed, and not just that it did")
	b.verifyToken.register(set)

	remove := b.command("remove", "Remove the app's callback, or some of its fields", `
Removes the callback of an object, or with --fields only these fields. After, it
reads back what holds.
`+exitCodes, `  $ caddy instagram callback remove --app 1234567890 --app-secret-file secret
  $ caddy instagram callback remove --app 1234567890 --app-secret-file secret --fields mentions`, b.remove)
	b.registerChange(remove, fieldsToRemove)

	cmd := &cobra.Command{Use: "callback", Aliases: []string{"callbacks"}, Short: "Where Meta delivers what your app gets"}
	return group(cmd, `
Shows and changes the subscriptions of the app itself: for each object, the
callback URL and the fields. It needs the app's id and its secret (IG_APP_SECRET
or --app-secret-file), which is the Meta app secret.

The product "Instagram API with Instagram Login" has a callback URL of its own
in the App Dashboard. Meta does not say whether this command sets it, too.
`+exitCodes, list, set, remove)
}

// command returns a sub-command with the flags.
func (b *callbackFlags) command(use, short, long, example string, do action) *cobra.Command {
	cmd := newCommand(use, short, long, example, 0, do)
	b.register(cmd)
	b.registerSecret(cmd)
	cmd.Flags().StringVar(&b.app, "app", "", "The `id` of the app at Meta (needed)")
	return cmd
}

func (b *callbackFlags) registerChange(cmd *cobra.Command, fields string) {
	b.graphFlags.registerChange(cmd, fields)
	cmd.Flags().StringVar(&b.object, "object", meta.ObjectInstagram, "The `object` that the events are about: instagram, page, …")
}

// appCallbacks is the result of list.
type appCallbacks struct {
	outcome
	App       string           `json:"app"`
	Callbacks []graph.Callback `json:"callbacks"`
}

func (b *callbackFlags) list(ctx context.Context, c *console, _ []string) (result, error) {
	client, err := b.appClient(c)
	if err != nil {
		return nil, err
	}
	all, err := client.Callbacks(ctx, b.app)
	return ifDone(&appCallbacks{App: b.app, Callbacks: append([]graph.Callback{}, all...)}, refused(err))
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
		rows = append(rows, []string{b.Object, active, b.URL, namesText(b.Fields)})
	}
	c.list(1, rows)
}

func (b *callbackFlags) set(ctx context.Context, c *console, _ []string) (result, error) {
	fields, err := b.wanted()
	if err != nil {
		return nil, err
	}
	// The app's fields have the names that its accounts have.
	if login, known := map[string]graph.Login{meta.ObjectInstagram: graph.InstagramLogin, "page": graph.FacebookLogin}[b.object]; known {
		if err := validateFields(c, login, fields); err != nil {
			return nil, err
		}
	}
	if err := validateCallback(b.callback); err != nil {
		return nil, err
	}
	if b.client, err = b.appClient(c); err != nil {
		return nil, err
	}
	if b.verify, err = b.verifyToken.read(c); err != nil {
		return nil, err
	}
	return b.change(ctx, c, func(graph.Callback) (graph.Callback, error) {
		return graph.Callback{Object: b.object, URL: b.callback, Fields: fields, Active: true}, nil
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

func (b *callbackFlags) remove(ctx context.Context, c *console, _ []string) (_ result, err error) {
	if b.fields, err = parseFields(b.fields); err != nil {
		return nil, err
	}
	if b.client, err = b.appClient(c); err != nil {
		return nil, err
	}
	return b.change(ctx, c, func(before graph.Callback) (graph.Callback, error) {
		left, err := without(before.Fields, b.fields)
		if err != nil || len(left) == 0 {
			return b.none(), err
		}
		before.Fields = left
		return before, nil
	})
}

func (b *callbackFlags) change(ctx context.Context, c *console, goal goal) (result, error) {
	r := &change{App: b.app, DryRun: b.dryRun, title: fmt.Sprintf("App %s, object %s", b.app, b.object)}
	if b.object == meta.ObjectInstagram {
		r.logins = graph.Logins()
	}
	return r.carryOut(ctx, c, b, goal)
}

// none is the callback of an object that has none.
func (b *callbackFlags) none() graph.Callback {
	return graph.Callback{Object: b.object, Fields: []string{}}
}

func (b *callbackFlags) write(ctx context.Context, wanted graph.Callback) error {
	if b.callback == "" {
		return b.client.RemoveCallback(ctx, b.app, b.object, b.fields)
	}
	return b.client.SetCallback(ctx, b.app, wanted, b.verify, b.values)
}

// read returns the callback of the object.
func (b *callbackFlags) read(ctx context.Context) (graph.Callback, error) {
	all, err := b.client.Callbacks(ctx, b.app)
	if i := slices.IndexFunc(all, func(found graph.Callback) bool { return found.Object == b.object }); i >= 0 {
		slices.Sort(all[i].Fields)
		return all[i], refused(err)
	}
	return b.none(), refused(err)
}
