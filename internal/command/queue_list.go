package command

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

// maxListed bounds what list keeps in memory.
const maxListed = 100_000

func queueListCommand(a *adminClient) *cobra.Command {
	var s eventSelection
	var before uint64
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, the newest first",
		Long: `
Lists events, the newest first, without their bodies. On a terminal, each has
the error of its last attempt in a line of its own; elsewhere that is the last
column.
` + queueExitCodes,
		Example: `  $ caddy instagram queue list --state dead
  $ caddy instagram queue list --field comments --since 24h --limit 1000 --json
  $ caddy instagram queue list --file /var/lib/caddy/.local/share/caddy/instagram/queue.db --state pending`,
		RunE: a.run(0, func(ctx context.Context, c *console, _ []string) (result, error) {
			if limit < 1 || limit > maxListed {
				return nil, fmt.Errorf("--limit must be 1 to %d; for more, there is 'export'", maxListed)
			}
			query := s.query(c)
			if before > 0 {
				query.Set("before", strconv.FormatUint(before, 10))
			}
			return listEvents(ctx, a, query, limit)
		}),
	}
	s.register(cmd, "")
	a.registerFile(cmd)
	cmd.Flags().Uint64Var(&before, "before", 0, "Only those before the event with this `id`")
	cmd.Flags().IntVar(&limit, "limit", 100, "At most so many")
	return cmd
}

// queueList is the result of list.
type queueList struct {
	outcome
	Events []*admin.Event `json:"events"`

	// Before selects those that were left out because of the limit.
	Before uint64 `json:"before,omitempty"`
}

func listEvents(ctx context.Context, a *adminClient, query url.Values, limit int) (result, error) {
	l := &queueList{Events: []*admin.Event{}}
	left := func() string { return strconv.Itoa(min(limit-len(l.Events), admin.MaxLimit)) }
	query.Set("limit", left())
	for page, err := range a.events(ctx, query) {
		if err != nil {
			return nil, err
		}
		l.Events = append(l.Events, page...)
		if len(l.Events) == limit {
			l.Before = page[len(page)-1].ID
			break
		}
		query.Set("limit", left())
	}
	return l, nil
}

func (l *queueList) text(c *console) {
	if len(l.Events) == 0 {
		c.printf("There are no such events.\n")
		return
	}
	header := []string{"ID", "STATE", "FIELD", "ACCOUNT", "SIZE", "ACCEPTED", "ATTEMPTS", "DUE"}
	var rows [][]string
	var lastErrors []string
	now := time.Now()
	for _, e := range l.Events {
		rows = append(rows, []string{
			strconv.FormatUint(e.ID, 10), stateOf(e), e.Field, cmp.Or(e.Account, "-"), sizeText(int64(e.Size)), ago(e.Accepted, now),
			strconv.Itoa(e.Attempts), ago(e.Due, now),
		})
		lastErrors = append(lastErrors, e.LastError)
	}
	if c.width > 0 {
		c.fitted(c.width, header, rows, lastErrors)
	} else {
		for i := range rows {
			rows[i] = append(rows[i], lastErrors[i])
		}
		c.table(append([][]string{append(header, "LAST ERROR")}, rows...)...)
	}
	if l.Before != 0 {
		c.note("There may be more: see them with --before %d", l.Before)
	}
}
