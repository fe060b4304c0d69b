package command

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

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
	return a.withFile(a.command(use, short, long, example, 1, do))
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
