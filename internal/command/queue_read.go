package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

func queueStatusCommand(a *adminClient) *cobra.Command {
	return a.withConsumer(a.withFile(a.command("status", "Show how much is in the queues", `
Shows for each store, and each consumer of it, how many events are pending, are
being delivered, are dead, and are kept after their delivery; when the oldest
pending one was accepted; and since when and why deliveries are refused, if they
are. It tells which consumers are paused, and which are not in the config any more.
If several gateways share a store, it lists them, and what is configured differently.
`+queueExitCodes, `  $ caddy instagram queue status
  $ caddy instagram queue status --address unix//run/caddy/admin.sock --json
  $ caddy instagram queue status --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`, 0, a.status)))
}

// queueStatus is the result of status.
type queueStatus struct {
	outcome
	Stores []admin.Status `json:"stores"`

	// Stopped tells that this is the file of a stopped server.
	Stopped bool `json:"stopped,omitempty"`
}

func (a *adminClient) status(ctx context.Context, _ *console, _ []string) (result, error) {
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
	rows := [][]string{{"STORE", "CONSUMER", "PENDING", "SIZE", "IN FLIGHT", "DEAD", "DELIVERED", "OLDEST", "NEW DELIVERIES"}}
	several := false
	now := time.Now()
	for _, store := range s.Stores {
		accepting := "accepted"
		switch {
		case !store.RefusingSince.IsZero():
			accepting = "refused since " + c.ago(store.RefusingSince, now)
		case store.RefusingBecause != "":
			accepting = "refused"
		case s.Stopped:
			accepting = "stopped"
		}
		if store.Counts == nil {
			rows = append(rows, []string{c.shortPath(store.Store), "?", "?", "?", "?", "?", "?", "?", accepting})
			continue
		}
		consumers := store.Consumers
		if consumers == nil { // the running Caddy is older
			consumers = []admin.Consumer{{Name: queue.DefaultConsumer, Counts: *store.Counts}}
		}
		for _, of := range consumers {
			name := consumerText(&of)
			several = several || name != queue.DefaultConsumer
			row := []string{c.shortPath(store.Store), name}
			for _, count := range []int64{of.Pending, 0, of.InFlight, of.Dead, of.Delivered} {
				row = append(row, strconv.FormatInt(count, 10))
			}
			row[3] = sizeText(of.PendingBytes)
			rows = append(rows, append(row, c.ago(of.Oldest, now), accepting))
		}
	}
	c.list(0, withoutConsumer(rows, !several))
	for i := range s.Stores {
		printShared(c, &s.Stores[i], now)
	}
}

// printShared prints why a store refuses deliveries, and who shares it.
func printShared(c *console, store *admin.Status, now time.Time) {
	if store.RefusingBecause != "" {
		c.printf("\n%s refuses deliveries: %s\n", store.Store, store.RefusingBecause)
	}
	rows := [][]string{{"GATEWAY OF " + c.shortPath(store.Store), "RUNS SINCE", "LAST SEEN", "VERSION", "SCHEMA"}}
	for _, g := range store.Gateways {
		name := g.Name
		if g.This {
			name += " (this one)"
		}
		rows = append(rows, []string{name, c.ago(g.Since, now), c.ago(g.Seen, now), g.Program, strconv.Itoa(g.Schema)})
	}
	if len(rows) > 1 {
		c.printf("\n")
		c.list(0, rows)
	}
	if len(store.Differences) > 0 {
		c.printf("\nThe gateways of %s are configured differently:\n", store.Store)
	}
	for _, difference := range store.Differences {
		c.printf("  %s\n", difference)
	}
}

// shortPath returns a path, or only its last part where there is little room.
func (c *console) shortPath(path string) string {
	if slash := strings.LastIndexByte(path, '/'); c.width > 0 && slash > 0 {
		return "…" + path[slash:]
	}
	return path
}

// consumerText returns the name of a consumer, and why it gets nothing.
func consumerText(of *admin.Consumer) string {
	var why []string
	if of.InConfig != nil && !*of.InConfig {
		why = append(why, "not in the config")
	}
	if of.Paused {
		why = append(why, "paused")
	}
	if why == nil {
		return of.Name
	}
	return fmt.Sprintf("%s (%s)", of.Name, strings.Join(why, ", "))
}

// withoutConsumer leaves the second column of a table out, if it says nothing.
func withoutConsumer(rows [][]string, saysNothing bool) [][]string {
	if saysNothing {
		for i, row := range rows {
			rows[i] = slices.Delete(row, 1, 2)
		}
	}
	return rows
}

// maxListed bounds what list keeps in memory.
const maxListed = 100_000

func queueListCommand(a *adminClient) *cobra.Command {
	var before uint64
	var limit int
	cmd := a.command("list", "List events, the newest first", `
Lists events, the newest first, without their bodies, once for each consumer that
has it. The last column is the error of the last attempt; on a terminal that is too
narrow for it, it is in a line of its own.
`+queueExitCodes, `  $ caddy instagram queue list --state dead
  $ caddy instagram queue list --field comments --since 24h --limit 1000 --json
  $ caddy instagram queue list --file /var/lib/caddy/.local/share/caddy/instagram/queue.db --state pending`,
		0, func(ctx context.Context, c *console, _ []string) (result, error) {
			if limit < 1 || limit > maxListed {
				return nil, fmt.Errorf("--limit must be 1 to %d; for more, there is 'export'", maxListed)
			}
			query := selected(c)
			if before > 0 {
				query.Set("before", strconv.FormatUint(before, 10))
			}
			return listEvents(ctx, a, query, limit)
		})
	registerSelection(cmd, "")
	cmd.Flags().Uint64Var(&before, "before", 0, "Only those before the event with this `id`")
	cmd.Flags().IntVar(&limit, "limit", 100, "At most so many, for all consumers that have them")
	return a.withConsumer(a.withFile(cmd))
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
	left := func() string { return strconv.Itoa(min(limit, admin.MaxLimit)) }
	query.Set("limit", left())
	for page, err := range a.events(ctx, query) {
		if err != nil {
			return nil, err
		}
		l.Events = append(l.Events, page...)
		if limit -= len(distinct(page)); limit == 0 {
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
	rows := [][]string{{"ID", "CONSUMER", "STATE", "FIELD", "ACCOUNT", "SIZE", "ACCEPTED", "ATTEMPTS", "DUE", "LAST ERROR"}}
	several := false
	now := time.Now()
	for _, e := range l.Events {
		several = several || consumerOf(e) != queue.DefaultConsumer
		rows = append(rows, []string{
			strconv.FormatUint(e.ID, 10), consumerOf(e), stateOf(e), e.Field, cmp.Or(e.Account, "-"), sizeText(int64(e.Size)),
			c.ago(e.Accepted, now), strconv.Itoa(e.Attempts), c.ago(e.Due, now), e.LastError,
		})
	}
	c.list(1, withoutConsumer(rows, !several))
	if l.Before != 0 {
		c.note("There may be more: see them with --before %d", l.Before)
	}
}

// consumerOf returns who gets an event: Caddys that know only one do not say it.
func consumerOf(e *admin.Event) string { return cmp.Or(e.Consumer, queue.DefaultConsumer) }

func stateOf(e *admin.Event) string {
	switch {
	case e.InFlight:
		return "in flight"
	case !e.Erased.IsZero() && e.State != queue.Erased:
		return string(e.State) + ", erased"
	}
	return string(e.State)
}

// sizeText returns a number of bytes as text, such as 1.5 MiB.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
