// Package command adds `caddy instagram` to Caddy's commands: what an operator
// of Instagram webhooks does by hand.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-instagram/webhooks/internal/suggest"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "instagram",
		Short:     "Helps with Instagram webhooks: init, subscriptions, callback, fields, token, accounts, sign, queue, inspect, simulate, replay, listen, tail, check",
		CobraFunc: root,
	})
}

// root adds the sub-commands to the command.
func root(cmd *cobra.Command) {
	group(cmd, `
Sub-commands for operators of Instagram webhooks. They need no running Caddy,
except those that ask it about its queues.

Secrets come from the environment (IG_APP_SECRET, IG_VERIFY_TOKEN,
IG_ACCESS_TOKEN), from files, or from the standard input, which the file name -
stands for. One final newline is left out. Secrets are never printed.

With --json, a sub-command prints one JSON object. If the sub-command fails, the
object holds "error". Messages for people go to the standard error.
`+exitCodes,
		initCommand(),
		subscriptionsCommand(),
		callbackCommand(),
		fieldsCommand(),
		tokenCommand(),
		accountsCommand(),
		signCommand(),
		queueCommand(),
		inspectCommand(),
		simulateCommand(),
		replayCommand(),
		listenCommand(),
		tailCommand(),
		checkCommand(),
	)
	cmd.PersistentFlags().Bool("json", false, "Print JSON")
	cmd.PersistentFlags().Bool("wide", false, "Print tables whole, on a narrow terminal too")
	addCompletions(cmd)
	refuseFlags(cmd, exitInput)
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := cmd.ValidateFlagGroups()
		if err == nil {
			err = refuseEmpty(cmd.Flags())
		}
		if err != nil {
			return cmd.FlagErrorFunc()(cmd, err)
		}
		return nil
	}
}

// refuseFlags reports wrong flags of a command and its sub-commands as other
// errors are, with an exit code.
func refuseFlags(cmd *cobra.Command, status int) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() != "" {
			// What follows the letter may be a secret in the wrong place.
			err = fmt.Errorf("unknown shorthand flag: -%s", unknown.GetSpecifiedName())
		}
		c := newConsole(cmd)
		c.json = c.json || slices.Contains(os.Args, "--json") // behind the flag that is wrong
		return exit(cmd, c.finish(nil, &failure{status, err}), err)
	})
}

// refuseEmpty returns an error for a flag that was given without a value, as by a variable of
// a script that is not set: without the flag, much more may be meant.
func refuseEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if text := f.Value.String(); text == "" || text == "[]" {
			err = fmt.Errorf("--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// exitCodes is the part of a help text that tells the exit codes.
const exitCodes = `
Exit codes:
  0  done, or nothing to do
  1  wrong usage or input: nothing was changed
  2  Meta refused, or cannot be reached: nothing was changed
  3  something was changed, but not as asked, or it is not known: the message
     says what holds now
` + outputCode

// outputCode is the line of exitOutput, which all commands have.
const outputCode = `  4  the result cannot be printed, whatever was done
`

// The exit codes.
const (
	exitInput   = 1
	exitRefused = 2
	exitPartial = 3
	exitOutput  = 4
)

// failure is an error with an exit code. Other errors have the code exitInput.
type failure struct {
	status int
	error
}

// Unwrap returns the error without the exit code.
func (f *failure) Unwrap() error { return f.error }

// errReported is the error of a command whose result tells what is wrong.
var errReported = errors.New("see the result")

// withStatus gives an error an exit code, unless it has one.
func withStatus(status int, err error) error {
	if _, has := errors.AsType[*failure](err); has || err == nil {
		return err
	}
	return &failure{status, err}
}

// ifDone returns the result of an action that prints only the error if it fails.
func ifDone(r result, err error) (result, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// group makes cmd a command that only has sub-commands.
func group(cmd *cobra.Command, long string, children ...*cobra.Command) *cobra.Command {
	cmd.Long = long
	cmd.AddCommand(children...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		err := noSuchCommand(cmd, args[0])
		return exit(cmd, newConsole(cmd).finish(nil, err), err)
	}
	return cmd
}

// noSuchCommand returns the error for a wrong name. It is not repeated: it may be
// a secret in the wrong place.
func noSuchCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 3 // more changes make another word
	if likely := cmd.SuggestionsFor(name[:min(len(name), maxName)]); len(likely) > 0 {
		nearest := suggest.Nearest(strings.ToLower(name), likely, 1)[0]
		return fmt.Errorf("there is no such sub-command; did you mean '%s %s'?", cmd.CommandPath(), nearest)
	}
	var names []string
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			names = append(names, child.Name())
		}
	}
	return fmt.Errorf("there is no such sub-command, only %s; see '%s --help'", strings.Join(names, ", "), cmd.CommandPath())
}

// action is what a sub-command does. Its result is printed in addition to an
// error; it is nil if there is nothing to print.
type action func(ctx context.Context, c *console, args []string) (result, error)

// result is what a sub-command found out or did. It is printed as JSON, or as
// text for people.
type result interface {
	text(c *console)
	fail(p *problem)
}

// run returns the RunE of a command that takes up to maxArgs arguments.
func run(maxArgs int, do action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), endSignals()...)
		defer stop()
		c := newConsole(cmd)
		var found result
		// The arguments are not repeated: they may be secrets in the wrong place.
		err := fmt.Errorf("there are too many arguments; see '%s --help'", cmd.CommandPath())
		if len(args) <= maxArgs {
			found, err = do(ctx, c, args)
		}
		return exit(cmd, c.finish(found, err), err)
	}
}

// endSignals returns the signals that interrupt a command: also that of a terminal that is
// closed, unless nohup has the command outlive it.
func endSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// newCommand returns a sub-command that takes up to maxArgs arguments.
func newCommand(use, short, long, example string, maxArgs int, do action) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Example: example, RunE: run(maxArgs, do)}
}

// exit makes Caddy exit with a status and print nothing more.
func exit(cmd *cobra.Command, status int, err error) error {
	cmd.SilenceErrors = true
	if status <= exitInput {
		return err
	}
	// Only Caddy can make the error that tells it the exit code.
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return status, nil })(cmd, nil)
}
