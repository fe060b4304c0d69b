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

func queueStatusCommand(g *gateway) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how much is in the queues",
		Long: `
Shows for each store how many events are pending, are being delivered, are dead,
and are kept after their delivery; when the oldest pending one was accepted; and
since when deliveries are refused because they cannot be stored, if they are.
` + queueExitCodes,
		Example: `  $ caddy instagram queue status
  $ caddy instagram queue status --address unix//run/caddy/admin.sock --json`,
		RunE: run(0, func(ctx context.Context, c *console, _ []string) (result, error) {
			s := new(queueStatus)
			err := g.look(ctx, http.MethodGet, "", nil, &s.Stores)
			if err != nil {
				return nil, err
			}
			return s, nil
		}),
	}
}

// queueStatus is the result of status.
type queueStatus struct {
	outcome
	Stores []admin.Status `json:"stores"`
}

func (s *queueStatus) text(c *console) {
	if len(s.Stores) == 0 {
		c.printf("No queue is open: the running config has no instagram_queue.\n")
		return
	}
	rows := [][]string{{"STORE", "PENDING", "SIZE", "IN FLIGHT", "DEAD", "DELIVERED", "OLDEST", "NEW DELIVERIES"}}
	for _, store := range s.Stores {
		row := []string{store.Store, "?", "?", "?", "?", "?", "?", "accepted"}
		if n := store.Counts; n != nil {
			for i, count := range []int64{n.Pending, 0, n.InFlight, n.Dead, n.Delivered} {
				row[i+1] = strconv.FormatInt(count, 10)
			}
			row[2], row[6] = sizeText(n.PendingBytes), momentOrDash(n.Oldest)
		}
		if !store.RefusingSince.IsZero() {
			row[7] = "refused since " + moment(store.RefusingSince)
		}
		if store.Error != "" {
			row[7] += " (" + store.Error + ")"
		}
		rows = append(rows, row)
	}
	c.table(rows...)
}

// eventSelection is the flags that select events.
type eventSelection struct {
	state, field, account, since string
}

func (s *eventSelection) register(cmd *cobra.Command, state string) {
	flags := cmd.Flags()
	flags.StringVar(&s.state, "state", state, "Only those in this `state`: pending, delivered or dead")
	flags.StringVar(&s.field, "field", "", "Only those of this `field`, such as comments")
	flags.StringVar(&s.account, "account", "", "Only those of the account with this `id`")
	flags.StringVar(&s.since, "since", "", "Only those accepted since this `time`: 2026-01-31T08:00:00Z, or 24h for a day ago")
}

// query returns the flags as parameters of the admin API. A duration becomes a
// time, which is the same for all pages.
func (s *eventSelection) query() (url.Values, error) {
	query := make(url.Values)
	for name, value := range map[string]string{"state": s.state, "field": s.field, "account": s.account, "since": s.since} {
		if value != "" {
			query.Set(name, value)
		}
	}
	filter, err := admin.ParseFilter(query)
	if !filter.Since.IsZero() {
		query.Set("since", filter.Since.UTC().Format(time.RFC3339Nano))
	}
	return query, err
}

// maxListed bounds what list keeps in memory.
const maxListed = 100_000

func queueListCommand(g *gateway) *cobra.Command {
	var s eventSelection
	var before uint64
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, the newest first",
		Long: `
Lists events, the newest first, without their bodies.
` + queueExitCodes,
		Example: `  $ caddy instagram queue list --state dead
  $ caddy instagram queue list --field comments --since 24h --limit 1000 --json`,
		RunE: run(0, func(ctx context.Context, _ *console, _ []string) (result, error) {
			if limit < 1 || limit > maxListed {
				return nil, fmt.Errorf("--limit must be 1 to %d; for more, there is 'export'", maxListed)
			}
			query, err := s.query()
			if err != nil {
				return nil, err
			}
			return listEvents(ctx, g, query, before, limit)
		}),
	}
	s.register(cmd, "")
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

func listEvents(ctx context.Context, g *gateway, query url.Values, before uint64, limit int) (result, error) {
	l := &queueList{Events: []*admin.Event{}}
	for len(l.Events) < limit {
		if before > 0 {
			query.Set("before", strconv.FormatUint(before, 10))
		}
		asked := min(limit-len(l.Events), admin.MaxLimit)
		query.Set("limit", strconv.Itoa(asked))
		var page []*admin.Event
		if err := g.look(ctx, http.MethodGet, "/events", query, &page); err != nil {
			return nil, err
		}
		l.Events = append(l.Events, page...)
		if len(page) < asked {
			return l, nil
		}
		before = page[len(page)-1].ID
	}
	l.Before = before
	return l, nil
}

func (l *queueList) text(c *console) {
	if len(l.Events) == 0 {
		c.printf("There are no such events.\n")
		return
	}
	rows := [][]string{{"ID", "STATE", "FIELD", "ACCOUNT", "SIZE", "ACCEPTED", "ATTEMPTS", "DUE", "LAST ERROR"}}
	for _, e := range l.Events {
		rows = append(rows, []string{
			strconv.FormatUint(e.ID, 10), stateOf(e), e.Field, cmp.Or(e.Account, "-"), sizeText(int64(e.Size)), moment(e.Accepted),
			strconv.Itoa(e.Attempts), momentOrDash(e.Due), shorten(e.LastError),
		})
	}
	c.table(rows...)
	if l.Before != 0 {
		c.note("There may be more: see them with --before %d", l.Before)
	}
}

func queueShowCommand(g *gateway) *cobra.Command {
	return &cobra.Command{
		Use:   "show <id>",
		Short: "Show an event with its body",
		Long: `
Shows an event with its body, which is what the backend gets.
` + queueExitCodes,
		Example: `  $ caddy instagram queue show 1207
  $ caddy instagram queue show 1207 --json`,
		RunE: run(1, func(ctx context.Context, _ *console, args []string) (result, error) {
			ids, err := eventIDs(args)
			if err != nil {
				return nil, err
			}
			s := &queueEvent{Event: new(admin.Event)}
			if err := g.look(ctx, http.MethodGet, eventPath(ids[0]), nil, s.Event); err != nil {
				return nil, err
			}
			return s, nil
		}),
	}
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

// queueEvent is the result of show.
type queueEvent struct {
	outcome
	*admin.Event
}

func (e *queueEvent) text(c *console) {
	rows := [][]string{}
	for _, row := range [][]string{
		{"id", strconv.FormatUint(e.ID, 10)},
		{"state", stateOf(e.Event)},
		{"lane", string(e.Lane)},
		{"identity", e.Identity},
		{"field", e.Field},
		{"account", e.Account},
		{"order", e.Order},
		{"URL", e.URL},
		{"app secret", e.AppSecret},
		{"size", sizeText(int64(e.Size))},
		{"accepted", momentOrDash(e.Accepted)},
		{"requeued", momentOrDash(e.Requeued)},
		{"due", momentOrDash(e.Due)},
		{"settled", momentOrDash(e.Settled)},
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
		c.printf("%s\n", visible(strings.TrimRight(line, "\r\n")))
	}
}

func stateOf(e *admin.Event) string {
	if e.InFlight {
		return "in flight"
	}
	return string(e.State)
}

// sizeText returns bytes as people read them.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

// momentOrDash returns a time that may be unknown.
func momentOrDash(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return moment(t)
}

// shorten returns the beginning of a text for a table.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
