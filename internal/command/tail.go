package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// The states of what happens.
const (
	accepted  = "accepted"  // a delivery, with 200
	refusedAs = "refused"   // a request
	delivered = "delivered" // an event, to a consumer
	failed    = "failed"    // an attempt to deliver one, or the answer to a delivery
	forwarded = "forwarded" // a copy, by this command
)

// tailStates are those that can be asked for.
var tailStates = []string{accepted, refusedAs, delivered, failed}

func tailCommand() *cobra.Command {
	t := &tail{secret: appSecret}
	cmd := t.command("tail", "Watch what happens, as it happens", `
Prints a line for each delivery that is accepted, each request that is refused, and
each attempt to hand an event to a consumer, as they come, by the admin API of the
running Caddy; --address and --config name it as for 'caddy instagram queue'. No
line has anything that people wrote. A reload of the config ends nothing. Ctrl+C
does.

With --forward, a copy of each event of a queue whose attempt is shown is sent to a
program on your machine, as the queue sends the event itself, but signed with the app
secret that is given here. The queue knows nothing of it: its consumers get the
event as usual. On a terminal, j and k select one of the last events, r sends it to
that program again, d shows it with its body, and q ends.

With --json, each line is one JSON object.

Exit codes:
  0  ended by Ctrl+C, or q
  1  wrong usage
  2  Caddy refused or cannot be reached
`+outputCode, `  $ caddy instagram tail
  $ caddy instagram tail --field messages --consumer crm --state failed --json
  $ caddy instagram tail --forward http://localhost:3000/webhooks --app-secret made-up`,
		0, t.tail)
	t.register(cmd)
	t.withConsumer(cmd)
	f := cmd.Flags()
	f.StringVar(&t.field, "field", "", "Only what is of this `field`, such as comments")
	f.StringSliceVar(&t.states, "state", nil, "Only what is in one of these `states`: accepted, refused, delivered or failed, with commas in between")
	f.StringVar(&t.to, "forward", "", "Send a copy of each event to this `URL`")
	t.secret.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("state", proposed(tailStates...)) // there is such a flag
	return cmd
}

// tail watches what happens.
type tail struct {
	adminClient
	field  string
	states []string
	to     string
	secret secretSource

	c       *console
	client  *simulate.Client // nil: nothing is forwarded
	pending chan *happened   // to be forwarded
	known   recentKeys       // that were forwarded

	mu   sync.Mutex // guards what follows, and the console
	rows *stream
	keys *keys // nil: there is no terminal
}

// maxForwards is how many events wait to be forwarded at most.
const maxForwards = 1000

func (t *tail) tail(ctx context.Context, c *console, _ []string) (result, error) {
	if err := t.prepare(c); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	stop, err := t.readKeys(ctx, end)
	if err != nil {
		return nil, err
	}
	defer stop()
	if !c.json {
		t.rows = newTailRows(c)
	}
	var forwarding sync.WaitGroup
	defer forwarding.Wait()
	if t.client != nil {
		defer t.client.Close()
		forwarding.Go(func() { t.forwardAll(ctx) })
	}
	defer end()
	return nil, withStatus(exitRefused, t.watch(ctx, c, t.query(), t.happened))
}

func (t *tail) prepare(c *console) error {
	t.c = c
	for _, state := range t.states {
		if !slices.Contains(tailStates, state) {
			return errors.New("--state is one of accepted, refused, delivered and failed, or several with commas in between")
		}
	}
	noteField(c, t.field)
	secret, err := t.secret.lookup(c)
	switch {
	case err != nil:
		return err
	case t.to == "":
		return nil
	case secret == "":
		return t.secret.missing()
	}
	t.client = &simulate.Client{URL: t.to, Secret: string(secret), Timeout: forwardTimeout}
	t.pending = make(chan *happened, maxForwards)
	if err := t.client.Validate(); err != nil {
		return fmt.Errorf("--forward: %w", err)
	}
	return nil
}

// query returns what the feed selects. The states are for this command to select.
func (t *tail) query() url.Values {
	query := make(url.Values)
	for name, value := range map[string]string{"field": t.field, "consumer": t.consumer} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// state returns how an event ended.
func (e *happened) state() string {
	switch {
	case e.Kind == live.Refusal:
		return refusedAs
	case e.Failed():
		return failed
	case e.Kind == live.Attempt:
		return delivered
	case e.Kind == live.Delivery:
		return accepted
	}
	return string(e.Kind) // forwarded
}

// happened prints an event, and has a copy of it forwarded.
func (t *tail) happened(e *happened) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Missed > 0 {
		t.c.note("%s came faster than they could be printed.", plural(int(e.Missed), "event"))
		return
	}
	isOther := t.store != "" && e.Store != "" && e.Store != t.store
	if isOther || t.states != nil && !slices.Contains(t.states, e.state()) {
		return
	}
	t.print(e)
	if e.ID == 0 {
		return
	}
	if t.keys != nil {
		t.keys.add(e)
	}
	if t.client == nil || t.known.seen(fmt.Sprint(e.Store, " ", e.ID), true) {
		return
	}
	select {
	case t.pending <- e:
	default:
		t.c.note("Event %d is not forwarded: %d wait for the answers of %s.", e.ID, maxForwards, t.to)
	}
}

func newTailRows(c *console) *stream {
	return newStream(c, []string{"TIME", "STATE", "STATUS", "FIELD", "ACCOUNT", "CONSUMER", "ID"}, 8, 9, 6, 8, 17, 8)
}

// print prints an event. On a terminal, what went wrong is in a line of its own.
func (t *tail) print(e *happened) {
	if t.c.json {
		t.c.encode(e, "")
		return
	}
	var what []string
	note := func(format string, args ...any) { what = append(what, fmt.Sprintf(format, args...)) }
	if e.ID != 0 {
		note("%d", e.ID)
	}
	if e.Try > 1 {
		note("attempt %d", e.Try)
	}
	if e.Events > 1 {
		note("%d events", e.Events)
	}
	why := cmp.Or(e.Error, e.Reason)
	if e.Kind == live.Refusal {
		why += " from " + e.ClientIP
	}
	if t.c.width == 0 && why != "" {
		note("%s", why)
	}
	t.rows.print(e.Time.UTC().Format(time.TimeOnly), e.state(), statusText(e.Status), cmp.Or(e.Field, "-"),
		cmp.Or(e.Account, "-"), cmp.Or(e.Consumer, "-"), cmp.Or(strings.Join(what, ", "), "-"))
	if t.c.width > 0 && why != "" {
		t.c.printf("    %s\n", why)
	}
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return strconv.Itoa(status)
}

// forwardAll forwards what waits for it, one after the other.
func (t *tail) forwardAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-t.pending:
			t.forwardOne(ctx, e)
		}
	}
}

// forwardOne forwards a copy of an event, and prints what became of it.
func (t *tail) forwardOne(ctx context.Context, e *happened) {
	result := &happened{Kind: forwarded, Event: live.Event{Store: e.Store, Field: e.Field, Account: e.Account, Consumer: e.Consumer, ID: e.ID}}
	stored, err := t.sendable(ctx, e.Store, e.ID)
	if err == nil {
		stored.Consumer = e.Consumer
		o := forward(ctx, t.client, stored)
		result.Status, result.Took, err = o.Status, o.Latency.Seconds(), o.Err
	}
	if err != nil {
		result.Error = err.Error()
	}
	result.Time = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() == nil { // else the terminal is not ours any more
		t.print(result)
	}
}
