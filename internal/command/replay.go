package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func replayCommand() *cobra.Command {
	s := &simulation{secret: appSecret}
	s.made.Batch = 1
	cmd := s.queue.command("replay {<file> | <id>} --to <url>", "Send stored events to a URL", `
Sends what is stored to a URL of your choice, such as that of a program on your
desk, signed with a secret of your choice: either all deliveries of an event file
that instagram_file or 'queue export' wrote, in their order and as Meta sends them;
or the event with an id in the queue, as the queue sends it. The queue stays as it
is: 'queue retry' delivers an event again to the consumers themselves.

The id is that of the running Caddy, which --address, --config and --store name as
for 'caddy instagram queue', or of the --file of a stopped one. A file whose name
is a number is given as ./1207.

Exit codes:
  0  every delivery was answered with 200, or the event with 2xx
  1  not so
  2  nothing was sent, or not all: wrong usage, a file or a queue that cannot be
     read, an event that was erased, an interrupt
`+outputCode, `  $ caddy instagram replay events.jsonl --to http://localhost:3000/webhooks --app-secret-file secret
  $ caddy instagram replay 1207 --to http://localhost:3000/webhooks --app-secret made-up`,
		1, s.replay)
	refuseFlags(cmd, exitNoRun)
	f := cmd.Flags()
	f.StringVar(&s.to, "to", "", "The `URL` to send to")
	s.secret.register(cmd)
	s.tls.register(cmd, "The PEM `file` with CAs to trust besides those of the system")
	s.queue.register(cmd)
	return s.queue.withFile(cmd)
}

func (s *simulation) replay(ctx context.Context, c *console, args []string) (result, error) {
	switch {
	case len(args) == 0:
		return nil, noRun(errors.New("replay what? Give a file, or the id of an event, which 'queue list' shows"))
	case s.to == "":
		return nil, noRun(errors.New("--to is needed"))
	}
	if _, err := strconv.ParseUint(args[0], 10, 64); err != nil {
		s.fromLog = args[0]
		return s.judge(ctx, c, s.play)
	}
	r, err := s.replayEvent(ctx, c, args)
	return r, withStatus(exitNoRun, err)
}

// replayed is the result of replay for one event.
type replayed struct {
	outcome
	ID     uint64  `json:"id"`
	Status int     `json:"status,omitempty"`
	Took   float64 `json:"took"` // in seconds
}

func (r *replayed) text(c *console) {
	if r.Status != 0 {
		c.printf("Event %d was answered with %d, after %s.\n", r.ID, r.Status, time.Duration(r.Took*float64(time.Second)).Round(time.Millisecond).String())
	}
}

func (s *simulation) replayEvent(ctx context.Context, c *console, args []string) (result, error) {
	ids, err := eventIDs(args)
	if err != nil {
		return nil, err
	}
	client, _, err := s.client(c)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	client.Timeout = forwardTimeout
	e, err := s.queue.sendable(ctx, "", ids[0])
	if err != nil {
		return nil, err
	}
	o := forward(ctx, client, e)
	r := &replayed{ID: e.ID, Status: o.Status, Took: o.Latency.Seconds()}
	switch {
	case ctx.Err() != nil:
		err = errInterrupted
	case o.Err != nil:
		err = &failure{exitInput, fmt.Errorf("event %d: %w", e.ID, o.Err)}
	case o.Status < 200 || o.Status > 299:
		err = &failure{exitInput, fmt.Errorf("event %d was answered with %d, not with 2xx", e.ID, o.Status)}
	}
	return r, err
}
