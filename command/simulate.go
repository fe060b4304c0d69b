package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/simulate"
)

// The exit codes of simulate.
const (
	simulateOK         = 0 // everything went as it should
	simulateUnexpected = 1 // the receiver did not do what it should
	simulateFailed     = 2 // there was no run, or it was cut short
)

// maxSpeedup makes the 36 hours of retries an eighth of a second.
const maxSpeedup = 1_000_000

const simulateLong = `
Plays Meta against a receiver of webhooks: ours or any other.

First it sends the verification request, if it has a verify token, and stops if
the receiver does not pass. Then it sends signed deliveries of made-up events,
of a file, or of an event file that instagram_file wrote. Requests are as Meta
sends them: HTTP/1.1, headers in their order, both signatures, the two looks of
JSON, five seconds for an answer, no redirects.

The app secret is taken from --app-secret-file ("-" is standard input), or else
from the environment variable IG_APP_SECRET; the verify token from
--verify-token-file or IG_VERIFY_TOKEN. One newline at the end of a file does
not count. --app-secret is for trying things out: other users of the machine
can see it.

With --retry, what is not answered with 200 is sent again at once, then after
15 seconds, 30 seconds, a minute and so on for 36 hours, each time with a new
entry.time. Messages of an account that fail for 15 minutes bring an alert;
after an hour the account is unsubscribed, and gets no more. --speedup 3600
makes an hour of this a second.

The ledger has the identity of each event that was answered with 200, one a
line, and is added to. --verify compares it with the files that instagram_file
wrote, in any of its formats: after the run, or without --to instead of one.

Exit codes: 0 if every authentic delivery was answered with 200, no forged one
was, and no acknowledged event is missing; 1 if not; 2 if there was no run, or
it was cut short.`

const simulateExamples = `  # The verification request and one delivery of each field
  IG_APP_SECRET=… IG_VERIFY_TOKEN=… caddy instagram simulate --to http://localhost:8080/webhooks

  # A thousand comments, fifty a second, to a site with Caddy's local certificate
  caddy instagram simulate --to https://localhost:8443/webhooks --app-secret-file secret.txt \
    --ca ~/.local/share/caddy/pki/authorities/local/root.crt --field comments --count 1000 --rate 50

  # As bad as it gets, and nothing may be lost
  caddy instagram simulate --to https://localhost:8443/webhooks --app-secret-file secret.txt \
    --count 10000 --concurrency 16 --duplicates 5% --out-of-order --bad-signatures 1% --retry \
    --ledger acknowledged.txt --verify events.jsonl

  # A full batch, with a client certificate
  caddy instagram simulate --to https://hooks.example.com/webhooks --app-secret-file secret.txt \
    --cert client.pem --key client.key --batch 1000

  # The Test button of the App Dashboard; then the events of yesterday again
  caddy instagram simulate --to http://localhost:8080/webhooks --app-secret-file - --test-button < secret.txt
  caddy instagram simulate --to http://localhost:8080/webhooks --app-secret-file secret.txt --from-log events.jsonl`

// simulation is what the flags of simulate say.
type simulation struct {
	to, secret, secretFile, tokenFile string

	fields        []string
	file, fromLog string
	testButton    bool

	count, batch, concurrency int
	rate, speedup             float64
	seed                      uint64
	duplicates, badSignatures share
	outOfOrder, retry         bool

	cert, key, ca string

	ledger string
	verify []string
	json   bool

	given func(flag string) bool
	in    io.Reader
}

// simulateCommand returns the command that plays Meta.
func simulateCommand() *cobra.Command {
	s := new(simulation)
	cmd := &cobra.Command{
		Use:     "simulate --to <url> [flags]",
		Short:   "Plays Meta against a receiver of webhooks",
		Long:    strings.TrimSpace(simulateLong),
		Example: simulateExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.given, s.in = cmd.Flags().Changed, cmd.InOrStdin()
			code, err := simulateFailed, error(nil)
			if len(args) > 0 {
				err = errors.New("simulate takes flags only")
			} else {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				code, err = s.run(ctx, newReporter(cmd.OutOrStdout(), cmd.ErrOrStderr(), s.json))
			}
			return simulateExit(cmd, code, err)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return simulateExit(cmd, simulateFailed, err) })
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&s.to, "to", "", "callback URL to send to")
	f.StringVar(&s.secretFile, "app-secret-file", "", "file with the app secret, - for standard input (default: $IG_APP_SECRET)")
	f.StringVar(&s.secret, "app-secret", "", "the app secret itself, for trying things out")
	f.StringVar(&s.tokenFile, "verify-token-file", "", "file with the verify token, - for standard input (default: $IG_VERIFY_TOKEN)")
	f.StringSliceVar(&s.fields, "field", []string{"comments", "messages"}, "fields to make up events of, in turns")
	f.StringVar(&s.file, "file", "", "send the bytes of this file instead")
	f.StringVar(&s.fromLog, "from-log", "", "send the events of this file instead, which instagram_file wrote")
	f.BoolVar(&s.testButton, "test-button", false, "send what the Test button of the App Dashboard sends")
	f.IntVar(&s.count, "count", 0, "number of deliveries; 0 only verifies (default: one for each field, or all of --from-log)")
	f.IntVar(&s.batch, "batch", 1, "number of updates in a delivery, up to 1000")
	f.Float64Var(&s.rate, "rate", 0, "deliveries a second (default: as fast as possible)")
	f.IntVar(&s.concurrency, "concurrency", 1, "requests under way at a time; 1 keeps the order")
	f.Var(&s.duplicates, "duplicates", "share of deliveries to send twice, such as 5% or 0.05")
	f.BoolVar(&s.outOfOrder, "out-of-order", false, "send some deliveries later than their turn")
	f.Var(&s.badSignatures, "bad-signatures", "share of deliveries to sign wrongly, such as 1% or 0.01")
	f.BoolVar(&s.retry, "retry", false, "send again what is not answered with 200, as Meta does")
	f.Float64Var(&s.speedup, "speedup", 1, "how much faster than time the retries run")
	f.StringVar(&s.cert, "cert", "", "client certificate to present, a PEM file with its chain")
	f.StringVar(&s.key, "key", "", "key of the client certificate, a PEM file")
	f.StringVar(&s.ca, "ca", "", "CA certificates to trust besides those of the system, a PEM file")
	f.Uint64Var(&s.seed, "seed", 0, "make the same run each time: events, times and faults (default: a new run)")
	f.StringVar(&s.ledger, "ledger", "", "file to add the identities of acknowledged events to")
	f.StringArrayVar(&s.verify, "verify", nil, "event file to look for all acknowledged events in; repeatable")
	f.BoolVar(&s.json, "json", false, "print the summary as JSON")
	return cmd
}

// simulateExit returns the error that makes Caddy exit with code.
func simulateExit(cmd *cobra.Command, code int, err error) error {
	if code <= simulateUnexpected {
		return err
	}
	if err != nil {
		cmd.PrintErrln("Error:", err.Error())
	}
	cmd.SilenceErrors = true
	cmd.Root().SilenceErrors = true
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}

// run does what the flags say. The code is one of the exit codes; the error
// says why it is not 0.
func (s *simulation) run(ctx context.Context, report *reporter) (code int, err error) {
	if err := s.check(); err != nil {
		return simulateFailed, err
	}
	if s.to == "" {
		return s.verifyOnly(report)
	}
	if !s.given("seed") {
		s.seed = rand.Uint64()
	}
	client, token, err := s.client()
	if err != nil {
		return simulateFailed, err
	}
	defer client.Close()
	deliveries, total, end, err := s.deliveries()
	if err != nil {
		return simulateFailed, err
	}
	defer end()
	ledger, err := s.openLedger()
	if err != nil {
		return simulateFailed, err
	}
	defer func() {
		if closing := ledger.Close(); closing != nil && err == nil {
			code, err = simulateFailed, closing
		}
	}()

	result := &simulateResult{Verification: "skipped"}
	if token != "" {
		o := client.Verify(ctx, token)
		if ctx.Err() != nil {
			return simulateFailed, ctx.Err()
		}
		if result.Verification = "ok"; o.Err != nil {
			result.Verification = o.Err.Error()
			return simulateUnexpected, report.print(result, fmt.Errorf("verification: %w", o.Err))
		}
	}
	if total != 0 {
		run := &simulate.Run{
			Client: client, Deliveries: deliveries, Ledger: ledger,
			Faults: simulate.Faults{Seed: s.seed, Duplicates: float64(s.duplicates), OutOfOrder: s.outOfOrder, BadSignatures: float64(s.badSignatures)},
			Rate:   s.rate, Concurrency: s.concurrency, Retry: s.retry, Speedup: s.speedup,
			Notify: report.notice,
		}
		run.Start()
		stop := report.follow(run.Progress, total)
		result.Summary, err = run.Do(ctx)
		stop()
		acknowledged := ledger.Len()
		result.Ledger = &acknowledged
		if err != nil {
			return simulateFailed, report.print(result, fmt.Errorf("the run was cut short: %w", err))
		}
	}
	return s.conclude(report, result, ledger)
}

// conclude verifies the ledger and prints the result.
func (s *simulation) conclude(report *reporter, result *simulateResult, ledger *simulate.Ledger) (int, error) {
	if len(s.verify) > 0 {
		verified, err := ledger.Verify(simulate.EventFiles(s.verify...))
		if err != nil {
			return simulateFailed, report.print(result, fmt.Errorf("verifying the ledger: %w", err))
		}
		result.Verified = verified
	}
	if unexpected := result.unexpected(); unexpected != nil {
		return simulateUnexpected, report.print(result, unexpected)
	}
	result.OK = true
	return simulateOK, report.print(result, nil)
}

func (s *simulation) verifyOnly(report *reporter) (int, error) {
	ledger, err := simulate.ReadLedger(s.ledger)
	if err != nil {
		return simulateFailed, err
	}
	acknowledged := ledger.Len()
	return s.conclude(report, &simulateResult{Ledger: &acknowledged}, ledger)
}

// check returns an error for flags that do not go together or out of range.
func (s *simulation) check() error {
	if s.to == "" && (s.ledger == "" || len(s.verify) == 0) {
		return errors.New("--to is needed, or --ledger and --verify")
	}
	for _, pair := range [][2]string{
		{"file", "from-log"}, {"file", "field"}, {"file", "test-button"}, {"file", "batch"},
		{"from-log", "field"}, {"from-log", "test-button"}, {"test-button", "batch"},
		{"app-secret", "app-secret-file"},
	} {
		if s.given(pair[0]) && s.given(pair[1]) {
			return fmt.Errorf("--%s and --%s do not go together", pair[0], pair[1])
		}
	}
	switch {
	case s.count < 0:
		return errors.New("--count must not be negative")
	case s.batch < 1 || s.batch > simulate.MaxBatch:
		return fmt.Errorf("--batch must be 1 to %d", simulate.MaxBatch)
	case s.concurrency < 1:
		return errors.New("--concurrency must be at least 1")
	case !(s.rate >= 0):
		return errors.New("--rate must not be negative")
	case !(s.speedup > 0 && s.speedup <= maxSpeedup):
		return fmt.Errorf("--speedup must be more than 0, and %d at most", maxSpeedup)
	case (s.cert == "") != (s.key == ""):
		return errors.New("--cert and --key go together")
	case s.secretFile == "-" && s.tokenFile == "-":
		return errors.New("standard input can hold either the app secret or the verify token, not both")
	case len(s.fields) == 0:
		return errors.New("--field names no field")
	}
	for _, field := range s.fields {
		if _, known := event.FieldByName(field); !known {
			return fmt.Errorf("--field: %q is none of %s", field, strings.Join(simulateFields(), ", "))
		}
	}
	return nil
}

func simulateFields() (names []string) {
	for _, f := range event.Fields() {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}
