package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

// exitDamaged is the exit code of check for a file that is not sound.
const exitDamaged = 3

// fileCommands returns the commands that look after the file of a queue.
func (a *adminClient) fileCommands() []*cobra.Command {
	return []*cobra.Command{
		a.withFile(a.command("check", "Look for damage in the file of a queue", `
Looks for damage in the file of a queue, of the running Caddy or, with --file, of
a stopped one. It reads the whole file, and changes nothing in the queue.

Exit codes:
  0  the file is sound
  1  wrong usage
  2  the file could not be checked
  3  the file is damaged, lacks its -wal file, or is not that of a queue
`+outputCode, `  $ caddy instagram queue check
  $ caddy instagram queue check --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`, 0, a.check)),
		a.withFile(a.command("backup <new file>", "Copy a queue to a new file", `
Copies a queue, as it is at one moment, to a new file, while Caddy goes on to use
it, or, with --file, the queue of a stopped one. Caddy itself writes the new file:
it is on the machine, and belongs to the user, of the running Caddy.
`+queueExitCodes, `  $ caddy instagram queue backup /var/backups/queue-$(date +%F).db
  $ caddy instagram queue check --file /var/backups/queue-2026-01-31.db`, 1, a.backup)),
		a.withFile(a.command("compact", "Make the file of a queue smaller", `
Gives the space that a queue does not use any more back to the file system, of
the running Caddy or, with --file, of a stopped one. The file is copied, so there
must be room for that. Meanwhile a running Caddy accepts nothing: it lets
deliveries wait, and Meta sends those again that wait for more than five seconds.
Nobody needs to do this regularly: space that events leave is used for others.
`+queueExitCodes, `  $ caddy instagram queue compact
  $ caddy instagram queue compact --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`, 0, a.compact)),
	}
}

// checkedQueue is the result of check.
type checkedQueue struct {
	outcome
	admin.Checked
}

func (r *checkedQueue) text(c *console) {
	if r.Sound { // else the error says it
		c.printf("The file is sound.\n")
	}
}

func (a *adminClient) check(ctx context.Context, _ *console, _ []string) (result, error) {
	r := new(checkedQueue)
	err := a.read(ctx, http.MethodPost, "/check", nil, &r.Checked)
	if errors.Is(err, sqlite.ErrDamaged) || errors.Is(err, errEmpty) { // so much that it cannot be opened
		r.Damage, err = err.Error(), nil
	}
	if errors.Is(err, sqlite.ErrUnclean) { // the error has its own advice
		r.Damage = err.Error()
		return r, &failure{exitDamaged, err}
	}
	if err != nil || r.Sound {
		return ifDone(r, err)
	}
	said := r.Damage
	if !strings.Contains(said, "damaged") {
		said = "the file is damaged: " + said
	}
	return r, &failure{exitDamaged, fmt.Errorf("%s. Restore a copy; what it held since is lost", said)}
}

func (a *adminClient) backup(ctx context.Context, _ *console, args []string) (result, error) {
	if len(args) == 0 {
		return nil, errors.New("backup takes the path of the new file")
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return nil, err
	}
	r := new(backedUpQueue)
	return ifDone(r, a.read(ctx, http.MethodPost, "/backup", url.Values{"to": {path}}, &r.BackedUp))
}

// backedUpQueue is the result of backup.
type backedUpQueue struct {
	outcome
	admin.BackedUp
}

func (r *backedUpQueue) text(c *console) {
	c.printf("The copy %s has %s.\n", r.File, sizeText(r.Size))
}

func (a *adminClient) compact(ctx context.Context, _ *console, _ []string) (result, error) {
	r := new(compactedQueue)
	err := a.change(ctx, http.MethodPost, "/compact", nil, &r.Compacted)
	if err == nil && a.file != "" {
		err = withStatus(exitPartial, keepAccess(a.file, a.info))
	}
	return ifDone(r, err)
}

// compactedQueue is the result of compact.
type compactedQueue struct {
	outcome
	admin.Compacted
}

func (r *compactedQueue) text(c *console) {
	c.printf("The file had %s and has %s.\n", sizeText(r.Before), sizeText(r.After))
}

// keepAccess gives a file the owner and the mode of the one that it replaced:
// Caddy may not be able to open it otherwise.
func keepAccess(path string, old os.FileInfo) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(keepOwner(file, old), file.Chmod(old.Mode().Perm()), file.Close())
}

// consumerCommands returns the commands that change a consumer.
func (a *adminClient) consumerCommands() []*cobra.Command {
	paused, dropped := new(pausedConsumer), new(droppedConsumer)
	return []*cobra.Command{
		a.consumerCommand("pause <consumer>", "Deliver nothing to a consumer", `
Pauses a consumer: attempts under way end, and no others begin. Events are accepted
for it as before, and wait. The pause lasts until 'resume', over restarts and reloads.
'status' shows which consumers are paused.
`+queueExitCodes, `  $ caddy instagram queue pause crm
  $ caddy instagram queue pause crm --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
			"/pause", paused, &paused.Paused),
		a.consumerCommand("resume <consumer>", "Deliver to a consumer again", `
Ends the pause of a consumer: what waits for it is delivered, in its order.
`+queueExitCodes, `  $ caddy instagram queue resume crm
  $ caddy instagram queue resume crm --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
			"/resume", paused, &paused.Paused),
		a.consumerCommand("drop <consumer>", "Forget a consumer that left the config, and its events", `
Forgets a consumer, and for good what waits for it and what is kept for it. Other
consumers keep their events. Caddy refuses that for a consumer of the config: remove
it there and reload first. With --file, nobody knows the config, and any consumer is
forgotten.
`+queueExitCodes, `  $ caddy instagram queue export --consumer crm --state pending --output crm.jsonl
  $ caddy instagram queue drop crm
  $ caddy instagram queue drop crm --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`, "/drop", dropped, &dropped.Dropped),
	}
}

// consumerCommand returns a command that has the admin API change a consumer. Its
// result holds the answer.
func (a *adminClient) consumerCommand(use, short, long, example, path string, r result, answer any) *cobra.Command {
	do := func(ctx context.Context, _ *console, args []string) (result, error) {
		if len(args) == 0 || args[0] == "" {
			return nil, errors.New("which consumer? 'status' shows their names")
		}
		a.consumer = args[0]
		return ifDone(r, a.change(ctx, http.MethodPost, path, nil, answer))
	}
	cmd := a.withFile(a.command(use, short, long, example, 1, do))
	cmd.ValidArgsFunction = consumers
	return cmd
}

// pausedConsumer is the result of pause and resume.
type pausedConsumer struct {
	outcome
	admin.Paused
}

func (r *pausedConsumer) text(c *console) {
	if r.Paused.Paused {
		c.printf("%s is paused: what is accepted for it waits until 'resume'.\n", r.Consumer)
	} else {
		c.printf("%s is not paused.\n", r.Consumer)
	}
}

// droppedConsumer is the result of drop.
type droppedConsumer struct {
	outcome
	admin.Dropped
}

func (r *droppedConsumer) text(c *console) {
	c.printf("%s is dropped, %s given up.\n", r.Consumer, plural(int(r.Pending), "event"))
}
