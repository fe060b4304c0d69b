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
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/queue/bolt"
)

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

// warn notes that the field may be misspelt: then there is no event of it, which
// looks as if all were well.
func (s *eventSelection) warn(c *console) {
	switch {
	case s.field == "":
	case len(s.field) > maxName:
		// It is not repeated: it may be a secret in the wrong place.
		c.note("Note: the name after --field is longer than that of any field")
	default:
		for _, warning := range event.FieldWarnings([]string{s.field}) {
			c.note("Note: %s", warning)
		}
	}
}

// maxListed bounds what list keeps in memory.
const maxListed = 100_000

func queueListCommand(g *gateway) *cobra.Command {
	var s eventSelection
	var f fileFlag
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
		RunE: run(0, func(ctx context.Context, c *console, _ []string) (result, error) {
			if err := f.validate(g); err != nil {
				return nil, err
			}
			if limit < 1 || limit > maxListed {
				return nil, fmt.Errorf("--limit must be 1 to %d; for more, there is 'export'", maxListed)
			}
			query, err := s.query()
			if err != nil {
				return nil, err
			}
			s.warn(c)
			l, err := withEvents(ctx, g, &f, func(list lister) (*queueList, error) {
				return listEvents(list, query, before, limit)
			})
			if err != nil {
				return nil, err
			}
			return l, nil
		}),
	}
	s.register(cmd, "")
	f.register(cmd)
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

func listEvents(list lister, query url.Values, before uint64, limit int) (*queueList, error) {
	l := &queueList{Events: []*admin.Event{}}
	for len(l.Events) < limit {
		if before > 0 {
			query.Set("before", strconv.FormatUint(before, 10))
		}
		asked := min(limit-len(l.Events), admin.MaxLimit)
		query.Set("limit", strconv.Itoa(asked))
		page, err := list(query)
		if err != nil {
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

func queueShowCommand(g *gateway) *cobra.Command {
	var f fileFlag
	cmd := &cobra.Command{
		Use:   "show <id>",
		Short: "Show an event with its body",
		Long: `
Shows an event with its body, which is what your application gets.
` + queueExitCodes,
		Example: `  $ caddy instagram queue show 1207
  $ caddy instagram queue show 1207 --json
  $ caddy instagram queue show 1207 --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
		RunE: run(1, func(ctx context.Context, _ *console, args []string) (result, error) {
			if err := f.validate(g); err != nil {
				return nil, err
			}
			ids, err := eventIDs(args)
			if err != nil {
				return nil, err
			}
			return showEvent(ctx, g, &f, ids[0])
		}),
	}
	f.register(cmd)
	return cmd
}

func showEvent(ctx context.Context, g *gateway, f *fileFlag, id uint64) (_ result, err error) {
	s := &queueEvent{Event: new(admin.Event)}
	if f.path == "" {
		err = g.look(ctx, http.MethodGet, eventPath(id), nil, s.Event)
	} else {
		s.Event, err = onFile(ctx, f, exitRefused, func(store *bolt.Store, _ os.FileInfo) (*admin.Event, error) {
			return admin.Find(ctx, store, id)
		})
	}
	if err != nil {
		return nil, err
	}
	return s, nil
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
