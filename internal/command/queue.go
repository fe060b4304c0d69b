package command

import (
	"github.com/spf13/cobra"
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
` + unsaidCode

// exitDamaged is the exit code of check for a file that is not sound.
const exitDamaged = 3

func queueCommand() *cobra.Command {
	g := new(gateway)
	cmd := group(&cobra.Command{
		Use:   "queue",
		Short: "What waits in the queues, and what to do about it",
	}, `
Shows the events in the queues of instagram_queue and mends what is wrong with
them, by the admin API of the running Caddy. An event is pending until it is
delivered, or dead: a dead letter, given up. Delivered and dead events are kept
for a while, and can be delivered again.

The admin API is where --address says, else where the config that --config names
says, else at Caddy's default address. --store is needed only when the config has
several queues; 'status' lists their stores.

'status', 'list', 'show', 'export', 'check' and 'compact' also work on a stopped
server, by --file. For 'check', the exit code 3 tells that the file is damaged.
`+queueExitCodes,
		queueStatusCommand(g),
		queueListCommand(g),
		queueShowCommand(g),
		queueRetryCommand(g),
		queueDiscardCommand(g),
		queueExportCommand(g),
		queueCheckCommand(g),
		queueCompactCommand(g),
	)
	g.register(cmd)
	return cmd
}
