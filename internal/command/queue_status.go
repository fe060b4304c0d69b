package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

func queueStatusCommand(a *adminClient) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how much is in the queues",
		Long: `
Shows for each store how many events are pending, are being delivered, are dead,
and are kept after their delivery; when the oldest pending one was accepted; and
since when deliveries are refused because they cannot be stored, if they are.
` + queueExitCodes,
		Example: `  $ caddy instagram queue status
  $ caddy instagram queue status --address unix//run/caddy/admin.sock --json
  $ caddy instagram queue status --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
		RunE: a.run(0, func(ctx context.Context, _ *console, _ []string) (result, error) { return showStatus(ctx, a) }),
	}
	a.registerFile(cmd)
	return cmd
}

// queueStatus is the result of status.
type queueStatus struct {
	outcome
	Stores []admin.Status `json:"stores"`

	// Stopped tells that this is the file of a stopped server.
	Stopped bool `json:"stopped,omitempty"`
}

func showStatus(ctx context.Context, a *adminClient) (result, error) {
	s := &queueStatus{Stopped: a.file != ""}
	if err := a.read(ctx, http.MethodGet, "", nil, &s.Stores); err != nil {
		return nil, err
	}
	var errs []error
	for _, store := range s.Stores {
		if store.Error != "" {
			errs = append(errs, fmt.Errorf("the store %s cannot say what it holds: %s", store.Store, store.Error))
		}
	}
	return s, withStatus(exitPartial, errors.Join(errs...))
}

func (s *queueStatus) text(c *console) {
	if len(s.Stores) == 0 {
		c.printf("No queue is open: the running config has no instagram_queue.\n")
		return
	}
	rows := [][]string{{"STORE", "PENDING", "SIZE", "IN FLIGHT", "DEAD", "DELIVERED", "OLDEST", "NEW DELIVERIES"}}
	now := time.Now()
	for _, store := range s.Stores {
		row := []string{store.Store, "?", "?", "?", "?", "?", "?", "accepted"}
		if s.Stopped {
			row[7] = "stopped"
		}
		if n := store.Counts; n != nil {
			for i, count := range []int64{n.Pending, 0, n.InFlight, n.Dead, n.Delivered} {
				row[i+1] = strconv.FormatInt(count, 10)
			}
			row[2], row[6] = sizeText(n.PendingBytes), ago(n.Oldest, now)
		}
		if !store.RefusingSince.IsZero() {
			row[7] = "refused since " + ago(store.RefusingSince, now)
		}
		rows = append(rows, row)
	}
	if _, width := columns(rows); c.width == 0 || c.width >= width {
		c.table(rows...)
		return
	}
	// A block for each, as that of show: a terminal would break the rows.
	for i, row := range rows[1:] {
		if i > 0 {
			c.printf("\n")
		}
		var block [][]string
		for j, cell := range row {
			block = append(block, []string{strings.ToLower(rows[0][j]), cell})
		}
		c.table(block...)
	}
}
