package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
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

	// Before selects the events that were left out because of the limit.
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

func queueShowCommand(a *adminClient) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show <id>",
		Short: "Show an event with its body",
		Long: `
Shows an event with its body, which is what your application gets.
` + queueExitCodes,
		Example: `  $ caddy instagram queue show 1207
  $ caddy instagram queue show 1207 --json
  $ caddy instagram queue show 1207 --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
		RunE: a.run(1, func(ctx context.Context, _ *console, args []string) (result, error) {
			ids, err := eventIDs(args)
			if err != nil {
				return nil, err
			}
			e := new(queueEvent)
			return ifDone(e, a.read(ctx, http.MethodGet, eventPath(ids[0]), nil, &e.Event))
		}),
	}
	a.registerFile(cmd)
	return cmd
}

// queueEvent is the result of show.
type queueEvent struct {
	outcome
	*admin.Event
}

func (e *queueEvent) text(c *console) {
	now := time.Now()
	rows := [][]string{}
	for _, row := range [][]string{
		{"id", strconv.FormatUint(e.ID, 10)},
		{"state", stateOf(e.Event)},
		{"identity", e.Identity},
		{"field", e.Field},
		{"account", e.Account},
		{"conversation", e.Order},
		{"URL", e.URL},
		{"app secret", e.AppSecret},
		{"size", sizeText(int64(e.Size))},
		{"accepted", ago(e.Accepted, now)},
		{"requeued", ago(e.Requeued, now)},
		{"due", ago(e.Due, now)},
		{"settled", ago(e.Settled, now)},
		{"attempts", strconv.Itoa(e.Attempts)},
		{"last error", e.LastError},
	} {
		if row[1] != "" && row[1] != "-" {
			rows = append(rows, row)
		}
	}
	c.table(rows...)
	text := base64.StdEncoding.EncodeToString(e.BodyBase64)
	if e.Body != nil {
		var indented bytes.Buffer
		_ = json.Indent(&indented, e.Body, "", "  ") // it was decoded
		text = indented.String()
	}
	c.printf("\n")
	for line := range strings.Lines(text) {
		c.printf("%s\n", strings.TrimRight(line, "\r\n"))
	}
}

func stateOf(e *admin.Event) string {
	if e.InFlight {
		return "in flight"
	}
	return string(e.State)
}

// sizeText returns a number of bytes as text, such as 1.5 MiB.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
