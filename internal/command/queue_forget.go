package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// forgetFlags are the flags of forget.
type forgetFlags struct {
	user, account, message, reason string
	dryRun, files                  bool
}

// subject returns whose events are to be erased.
func (f *forgetFlags) subject() (s queue.Subject, err error) {
	s = queue.Subject{User: f.user, Account: f.account, Message: f.message}
	given := 0
	for _, id := range []string{f.user, f.account, f.message} {
		if id != "" {
			given++
		}
	}
	if given != 1 {
		err = errors.New("whose events? Give one of --user, --account and --message")
	}
	return s, err
}

func queueForgetCommand(a *adminClient) *cobra.Command {
	var f forgetFlags
	cmd := a.command("forget {--user ID | --account ID | --message MID} [--files <path>...]", "Erase what events hold of people", `
Erases what the events of a queue hold of people, whatever their state and whoever
has them: their bodies, the conversation, the answers of your application, and the
errors that may quote these. What is pending is delivered to nobody; only an attempt
that is under way may end. The number and the identity of an event stay, so that
duplicates are recognised and the next events come in order. 'list' and 'show' tell
when it was erased, and why.

With --user, these are the events that name the id anywhere, as a whole string or
number; with --account, those of an account; with --message, the message itself, and
its edits, reactions and receipts, but not the replies to it.

At last the file of the queue is written anew, because SQLite leaves copies of what
was in it: it needs as much room again, and deliveries wait meanwhile. The file that an
upgrade has kept beside it is removed. Of a queue in PostgreSQL, the tables are
vacuumed. Copies elsewhere are yours to erase: backups, exports, files of
instagram_file, the log and your application.

With --files, not the queue is looked through, but files that instagram_file has
written, compressed or not. --dry-run lists the lines; without it, each of them is
replaced by one that tells only that it was erased. A running gateway can go on to
write: then the lines so far are in a file beside it, with the time in its name. Files
into which those given are rolled meanwhile are looked through as well.

The log of Caddy tells who has erased, how many, and why: see --reason.
`+queueExitCodes, `  $ caddy instagram queue forget --user 17841400000000123 --dry-run
  $ caddy instagram queue forget --user 17841400000000123 --reason 'request 4711'
  $ caddy instagram queue forget --user 17841400000000123 --files /var/log/instagram/*.jsonl*`,
		math.MaxInt, func(ctx context.Context, _ *console, args []string) (result, error) {
			subject, err := f.subject()
			switch {
			case err != nil:
				return nil, err
			case f.files && (a.file != "" || a.address != "" || a.store != ""):
				return nil, errors.New("--files is for files of instagram_file, not for a queue: leave out --file, --address and --store")
			case f.files:
				return forgetInFiles(ctx, args, queue.Erasure{Subject: subject, Because: f.reason, DryRun: f.dryRun})
			case len(args) > 0:
				return nil, errors.New("paths are for --files")
			}
			return f.forget(ctx, a)
		})
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "Those that name the person with this `id`")
	flags.StringVar(&f.account, "account", "", "Those of the account with this `id`")
	flags.StringVar(&f.message, "message", "", "The message with this `id`, and what is about it")
	flags.StringVar(&f.reason, "reason", "asked for", "Why, as a `text` that is kept")
	flags.BoolVar(&f.dryRun, "dry-run", false, "Only count them, or list the lines of files")
	flags.BoolVar(&f.files, "files", false, "Not those in the queue, but in the files that follow")
	return a.withFile(cmd)
}

// forgottenEvents is the result of forget.
type forgottenEvents struct {
	outcome
	admin.Forgotten
}

func (f *forgetFlags) forget(ctx context.Context, a *adminClient) (result, error) {
	query := url.Values{"reason": {f.reason}}
	for name, id := range map[string]string{"user": f.user, "account": f.account, "message": f.message} {
		if id != "" {
			query.Set(name, id)
		}
	}
	if f.reason == "" {
		query.Del("reason")
	}
	r := new(forgottenEvents)
	if f.dryRun {
		query.Set("dry_run", "true")
		return ifDone(r, a.read(ctx, http.MethodPost, "/forget", query, &r.Forgotten))
	}
	err := a.change(ctx, http.MethodPost, "/forget", query, &r.Forgotten)
	if err != nil {
		err = fmt.Errorf("%w. Do it again: what was erased stays so", err)
	}
	return ifDone(r, err)
}

func (r *forgottenEvents) text(c *console) {
	if r.DryRun {
		c.printf("%s would be erased.\n", plural(r.Count, "event"))
		return
	}
	c.printf("%s erased.\n", plural(r.Count, "event"))
}
