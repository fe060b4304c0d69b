package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// exitNoRun is the exit code of simulate if there was no run, or if it was cut
// short. A receiver that does something wrong has the code exitInput here.
const exitNoRun = 2

// maxConcurrency bounds the requests under way. Each needs a connection.
const maxConcurrency = 10_000

// maxSpeedup makes the 36 hours of retries an eighth of a second.
const maxSpeedup = 1_000_000

// simulation is a run as the flags of simulate describe it.
type simulation struct {
	to            string
	secret, token secretSource

	made          simulate.Sample
	file, fromLog string
	count         int
	print         bool

	run   simulate.Run
	probe bool // send a forged delivery at the end

	tls    tlsFlags
	signed signedRequestFlags

	ledger      string
	verify      []string
	verifyQueue bool
	queue       adminClient
}

func simulateCommand() *cobra.Command {
	s := &simulation{secret: appSecret, token: verifyToken, probe: true}
	cmd := newCommand("simulate --to <url>", "Play Meta against a receiver of webhooks", `
Plays Meta against a receiver of webhooks: ours or any other.

First it sends the verification request, if it has a verify token, and stops if
the receiver does not pass. Then it sends signed deliveries of made-up events,
of a file, or of an event file that instagram_file wrote. Requests are as Meta
sends them: HTTP/1.1, headers in their order, both signatures, the two looks of
JSON, five seconds for an answer, no redirects.

What is answered with 200 counts as accepted. But Caddy answers with an empty 200
to what no handler takes, too. So a forged delivery is sent after the run, as of
the Test button of the App Dashboard: where that gets 200, nothing is proved, and
the exit code is 1.

With --retry, what is not answered with 200 is sent again at once, then after
15 seconds, 30 seconds, a minute and so on for 36 hours, each time with a new
entry.time. It goes on even if nobody answers the verification request. Messages
of an account that fail for 15 minutes bring an alert; after an hour the account
is unsubscribed, and gets no more. --speedup 3600 makes an hour of this a second.

With --print, nothing is sent: the deliveries are printed, byte for byte as they
would stand on the wire, with their headers and signatures.

The ledger has the identity of each event that was answered with 200, one a
line, and is added to. --verify compares it with the files that instagram_file
wrote, in any of its formats: after the run, or without --to instead of one.
These, and those of --from-log, may be compressed by gzip or zstd, whatever their
names. Lines that hold no event, such as one that a crash cut off, are left out
and counted.
--verify-queue compares it with what is in a queue, by the admin API of the
running Caddy, whatever became of the events there: --address, --config and
--store say which, as for 'caddy instagram queue'.

With --deauthorize or --deletion, it sends no deliveries but the form that Meta
posts to these callbacks of an app, for a made-up user: one that is signed with
another secret and one of two days ago, which must be refused; then an authentic
one, and the same again. For a deletion it reads the answer, and gets the page
that is named there for who asked.

Exit codes:
  0  every authentic delivery was answered with 200, no forged one was, and no
     acknowledged event is missing
  1  not so, or a signed request is not answered as it should be
  2  there was no run, or it was cut short: wrong usage, a file that cannot be
     read or written, the file of --from-log is incomplete or holds no event, a
     queue that cannot be asked, an interrupt
`+outputCode, `  # The verification request and one delivery of each field
  $ caddy instagram simulate --to http://localhost:8080/webhooks --app-secret-file secret --verify-token-file verify

  # A thousand comments, fifty a second, to a site with Caddy's local certificate
  $ caddy instagram simulate --to https://localhost:8443/webhooks --app-secret-file secret \
      --ca ~/.local/share/caddy/pki/authorities/local/root.crt --field comments --count 1000 --rate 50

  # As bad as it gets, and nothing may be lost
  $ caddy instagram simulate --to https://localhost:8443/webhooks --app-secret-file secret \
      --count 10000 --concurrency 16 --duplicates 5% --out-of-order --bad-signatures 1% --retry \
      --ledger acknowledged.txt --verify-queue

  # A full batch, with a client certificate
  $ caddy instagram simulate --to https://hooks.example.com/webhooks --app-secret-file secret \
      --cert client.pem --key client.key --batch 1000

  # The deauthorize and the data deletion request callback
  $ caddy instagram simulate --to https://hooks.example.com/meta/deauthorize --app-secret-file secret --deauthorize
  $ caddy instagram simulate --to https://hooks.example.com/meta/deletion --app-secret-file secret --deletion

  # What a delivery of messages looks like
  $ caddy instagram simulate --print --field messages --app-secret made-up

  # The Test button of the App Dashboard; then the events of yesterday again
  $ caddy instagram simulate --to http://localhost:8080/webhooks --app-secret-file secret --test-button
  $ caddy instagram simulate --to http://localhost:8080/webhooks --app-secret-file secret --from-log events.jsonl`,
		math.MaxInt, s.simulate)
	refuseFlags(cmd, exitNoRun)
	s.register(cmd)
	return cmd
}

// register adds the flags to the command.
func (s *simulation) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.to, "to", "", "The callback `URL` to send to")
	s.secret.register(cmd)
	s.token.register(cmd)

	f.StringSliceVar(&s.made.Fields, "field", []string{"comments", "messages"}, "The `fields` to make up events of, in turns, with commas in between")
	f.StringVar(&s.file, "file", "", "Send the bytes of this `file` instead")
	f.StringVar(&s.fromLog, "from-log", "", "Send the events of this `file` instead, which instagram_file wrote")
	f.BoolVar(&s.made.TestButton, "test-button", false, "Send what the Test button of the App Dashboard sends")
	f.IntVar(&s.count, "count", 0, "The `number` of deliveries; 0 only verifies (default: one for each field, or all of --from-log)")
	f.BoolVar(&s.print, "print", false, "Send nothing, but print the deliveries as they would be sent")
	f.IntVar(&s.made.Batch, "batch", 1, "The `number` of updates in a delivery, up to 1000")
	f.Float64Var(&s.run.Rate, "rate", 0, "The `number` of deliveries a second (default: as fast as possible)")
	f.IntVar(&s.run.Concurrency, "concurrency", 1, "The `number` of requests under way at a time; 1 keeps the order")
	f.Uint64Var(&s.made.Seed, "seed", 0, "Make the same run each time for the same `number`: events, times and faults (default: a new run)")

	f.Var((*share)(&s.run.Faults.Duplicates), "duplicates", "The `share` of deliveries to send twice, such as 5% or 0.05")
	f.BoolVar(&s.run.Faults.OutOfOrder, "out-of-order", false, "Send some deliveries later than their turn")
	f.Var((*share)(&s.run.Faults.BadSignatures), "bad-signatures", "The `share` of deliveries to sign wrongly, such as 1% or 0.01")
	f.BoolVar(&s.run.Retry, "retry", false, "Send again what is not answered with 200, as Meta does")
	f.Float64Var(&s.run.Speedup, "speedup", 1, "The `factor` by which the retries run faster than time")

	s.tls.register(cmd, "The PEM `file` with CAs to trust besides those of the system")

	f.StringVar(&s.ledger, "ledger", "", "The `file` to add the identities of acknowledged events to")
	f.StringArrayVar(&s.verify, "verify", nil, "The event `file` to look for all acknowledged events in; repeatable")
	f.BoolVar(&s.verifyQueue, "verify-queue", false, "Look for all acknowledged events in the queue of the running Caddy")
	s.queue.register(cmd)
	s.signed.register(cmd)

	for _, pair := range [][]string{
		{"file", "from-log"}, {"file", "field"}, {"file", "test-button"}, {"file", "batch"},
		{"from-log", "field"}, {"from-log", "test-button"}, {"test-button", "batch"}, {"verify", "verify-queue"},
		{"print", "ledger"}, {"print", "verify"}, {"print", "verify-queue"}, {"print", "retry"},
		{"print", "duplicates"}, {"print", "out-of-order"}, {"print", "bad-signatures"},
	} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
}

// noRun gives an error the exit code exitNoRun.
func noRun(err error) error { return &failure{exitNoRun, err} }

// simulate does what the flags say.
func (s *simulation) simulate(ctx context.Context, c *console, args []string) (result, error) {
	if len(args) > 0 {
		// They are not repeated: they may be secrets in the wrong place.
		return nil, noRun(errors.New("simulate takes flags only"))
	}
	if err := s.validate(c); err != nil {
		return nil, noRun(err)
	}
	switch {
	case s.signed.wanted():
		return s.sendSigned(ctx, c)
	case s.print:
		return nil, withStatus(exitNoRun, s.show(ctx, c))
	case s.to == "":
		return s.judge(ctx, c, s.compare)
	}
	return s.judge(ctx, c, s.play)
}

// judge does a run, or a comparison, and judges what came of it.
func (s *simulation) judge(ctx context.Context, c *console, do func(context.Context, *console, *simulated) error) (result, error) {
	r := new(simulated)
	err := do(ctx, c, r)
	if r.Summary != nil && r.Signatures != signaturesUnchecked {
		r.Accepted, r.Acknowledged = &r.Summary.Accepted, &r.Summary.Acknowledged
	}
	switch {
	case err != nil && *r == (simulated{}):
		return nil, noRun(err)
	case err != nil:
		return r, noRun(err)
	}
	err = cmp.Or(r.unexpected(), withStatus(exitNoRun, r.unsent()))
	r.OK = err == nil
	return r, err
}

// play sends what there is to send, and verifies the ledger.
func (s *simulation) play(ctx context.Context, c *console, r *simulated) (err error) {
	client, token, err := s.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	deliveries, total, end, err := s.deliveries(c)
	if err != nil {
		return err
	}
	defer end()
	ledger := new(simulate.Ledger)
	if s.ledger != "" {
		if ledger, err = simulate.OpenLedger(s.ledger); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()

	r.Verification = "skipped"
	if token != "" {
		if goOn, err := s.verifyURL(ctx, c, client, token, r); !goOn {
			return err
		}
	}
	if total != 0 {
		display := newProgressDisplay(c)
		run := &s.run
		run.Client, run.Deliveries, run.Ledger, run.Notify = client, deliveries, ledger, display.notice
		run.Faults.Seed = s.made.Seed
		run.Start()
		stop := display.show(run.Progress, total)
		r.Summary, err = run.Do(ctx)
		stop()
		r.Ledger = new(ledger.Len())
		if err != nil {
			return fmt.Errorf("the run was cut short: %w", err)
		}
		r.verifyAgain(ctx, client, token)
		if s.probe {
			s.forge(ctx, client, r)
		}
	}
	return s.verifyLedger(ctx, r, ledger)
}

// validate returns an error for flags that do not go together or are out of range.
func (s *simulation) validate(c *console) error {
	if s.print && c.json {
		return errors.New("--print prints requests, not JSON: leave out --json")
	}
	if s.to == "" && !s.print && (s.ledger == "" || len(s.verify) == 0 && !s.verifyQueue) {
		return errors.New("--to is needed, or --ledger and --verify or --verify-queue")
	}
	for _, flag := range []string{"address", "config", "adapter", "store"} {
		if c.flags.Changed(flag) && !s.verifyQueue {
			return fmt.Errorf("--%s is for --verify-queue", flag)
		}
	}
	switch {
	case s.count < 0:
		return errors.New("--count must not be negative")
	case s.made.Batch < 1 || s.made.Batch > meta.MaxUpdates:
		return fmt.Errorf("--batch must be 1 to %d", meta.MaxUpdates)
	case s.run.Concurrency < 1 || s.run.Concurrency > maxConcurrency:
		return fmt.Errorf("--concurrency must be 1 to %d", maxConcurrency)
	case !(s.run.Rate >= 0):
		return errors.New("--rate must not be negative")
	case !(s.run.Speedup > 0 && s.run.Speedup <= maxSpeedup):
		return fmt.Errorf("--speedup must be more than 0, and %d at most", maxSpeedup)
	}
	for _, field := range s.made.Fields {
		if _, known := event.FieldByName(field); !known {
			return fmt.Errorf("--field: %s", graph.InstagramLogin.FieldProblem(field))
		}
	}
	return nil
}
