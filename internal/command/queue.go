package command

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/event"
)

// queueExitCodes is the part of a help text that tells the exit codes of the
// queue's commands.
const queueExitCodes = `
Exit codes:
  0  done, or nothing to do
  1  wrong usage or input: nothing was changed
  2  Caddy refused or cannot be reached, or a file cannot be used: nothing was
     changed
  3  not all was done, or it is not known: the message says what was
` + outputCode

func queueCommand() *cobra.Command {
	a := new(adminClient)
	cmd := &cobra.Command{Use: "queue", Short: "What waits in the queues, and what to do about it"}
	commands := []*cobra.Command{
		queueStatusCommand(a),
		queueListCommand(a),
		queueShowCommand(a),
		queueRetryCommand(a),
		queueDiscardCommand(a),
		queueForgetCommand(a),
		queueExportCommand(a),
	}
	a.register(cmd)
	return group(cmd, `
Shows the events in the queues of instagram_queue and repairs what is wrong with
them, by the admin API of the running Caddy. An event is pending until it is
delivered, or dead: a dead letter, given up. Delivered and dead events are kept
for a while, and can be delivered again.

The admin API is where --address says, else where the config that --config names
says, else at Caddy's default address. --store is needed only when the config has
several queues; 'status' lists their stores.

With several consumers, each has an event for itself: 'list' has it once for each,
with the same id. With --consumer, the commands work on what one of them has.

`+onFiles+`
also work on a stopped server, by --file. For 'check', the exit code 3 tells that the
file is damaged.
`+queueExitCodes, slices.Concat(commands, a.consumerCommands(), a.fileCommands())...)
}

// register adds the flags for the running Caddy to a command and its sub-commands.
func (a *adminClient) register(cmd *cobra.Command) {
	a.registerAddress(cmd)
	cmd.PersistentFlags().StringVar(&a.store, "store", "", "Store to work on, by `name`, if several are open")
}

// registerAddress is for what concerns no store.
func (a *adminClient) registerAddress(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.address, "address", "", "Other `address` of the administration listener than that of the config")
	flags.StringVarP(&a.config, "config", "c", "", "Configuration `file` to find the address in")
	flags.StringVarP(&a.adapter, "adapter", "a", "", "Config adapter to apply, by `name`")
}

// onFiles are the commands that have --file, in a line of a help text.
const onFiles = "'status', 'list', 'show', 'export', 'forget', 'pause', 'resume', 'drop', 'check', 'backup' and 'compact'"

// withFile adds the flag for the file of a stopped server to a command.
func (a *adminClient) withFile(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.file, "file", "", "Not the running Caddy, but the `file` of a stopped one")
	return cmd
}

// withConsumer adds the flag for one consumer to a command.
func (a *adminClient) withConsumer(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.consumer, "consumer", "", "Only what the consumer with this `name` has")
	return cmd
}

// selection are the names of the flags that select events, and of the parameters of
// the admin API.
var selection = []string{"state", "field", "account", "since"}

// registerSelection adds these flags to a command.
func registerSelection(cmd *cobra.Command, state string) {
	flags := cmd.Flags()
	flags.String("state", state, "Only those in this `state`: pending, delivered, dead or erased")
	flags.String("field", "", "Only those of this `field`, such as comments")
	flags.String("account", "", "Only those of the account with this `id`")
	flags.String("since", "", "Only those accepted since this `time`: 2026-01-31T08:00:00Z, or 24h for a day ago")
}

// noteField notes that the name of a field may be misspelt: then there is no event of it,
// which looks as if all were well.
func noteField(c *console, field string) {
	if len(field) > maxName {
		// It is not repeated: it may be a secret in the wrong place.
		c.note("Note: the name after --field is longer than that of any field")
	} else if field != "" {
		for _, warning := range event.FieldWarnings([]string{field}) {
			c.note("Note: %s", warning)
		}
	}
}

// selected returns these flags as parameters.
func selected(c *console) url.Values {
	query := make(url.Values)
	for _, name := range selection {
		if value := c.flags.Lookup(name).Value.String(); value != "" {
			query.Set(name, value)
		}
	}
	noteField(c, query.Get("field"))
	if ago, err := caddy.ParseDuration(query.Get("since")); err == nil && ago >= 0 {
		// A time is the same for all pages.
		query.Set("since", time.Now().Add(-ago).UTC().Format(time.RFC3339Nano))
	}
	return query
}

// eventIDs reads the ids of events. There must be one.
func eventIDs(args []string) ([]uint64, error) {
	if len(args) == 0 {
		return nil, errors.New("which event? 'list' shows the ids")
	}
	ids := make([]uint64, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = strconv.ParseUint(arg, 10, 64); err != nil || ids[i] == 0 {
			return nil, fmt.Errorf("argument %d is not the id of an event: a number that 'list' shows", i+1)
		}
	}
	return ids, nil
}

func eventPath(id uint64) string { return fmt.Sprintf("/events/%d", id) }
