package sqlite

import (
	"cmp"
	"context"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// chunk is how many events are listed before others may list theirs.
const chunk = 512

// List implements queue.Store.
func (s *Store) List(ctx context.Context, filter queue.Filter) (found []queue.Event, err error) {
	err = s.scan(ctx, filter, chunk, func(events []queue.Event) (bool, error) {
		if filter.Limit > 0 {
			events = events[:min(len(events), filter.Limit-len(found))]
		}
		found = append(found, events...)
		return filter.Limit <= 0 || len(found) < filter.Limit, nil
	})
	if err == nil && filter.ID != 0 && len(found) == 0 {
		err = queue.ErrNotFound
	}
	return found, err
}

// scan calls visit with some of the events that a filter selects at a time, at most n,
// until it returns false: the newest first, or the oldest.
func (s *Store) scan(ctx context.Context, filter queue.Filter, n int, visit func([]queue.Event) (bool, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if filter.Limit > 0 {
		n = min(n, filter.Limit)
	}
	return s.aside(ctx, func(db *conn) error {
		for goOn := true; goOn; {
			events, err := db.list(&filter, n)
			if err != nil || len(events) == 0 {
				return err
			}
			s.markLeased(events)
			if goOn, err = visit(events); err != nil || len(events) < n {
				return err
			}
			if last := events[len(events)-1].ID; filter.OldestFirst {
				filter.After = last
			} else {
				filter.Before = last
			}
		}
		return nil
	})
}

func (s *Store) markLeased(events []queue.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		_, events[i].InFlight = s.memory.leased[int64(events[i].ID)]
	}
}

// list returns the first n events that a filter selects.
func (c *conn) list(filter *queue.Filter, n int) (events []queue.Event, err error) {
	if err := c.script("BEGIN"); err != nil {
		return nil, err
	}
	for _, source := range sourcesOf(filter.State) {
		sql, args := source.listing(filter)
		if err := c.each(func(row *sqlite3.Stmt) bool {
			e, _ := readEvent(row)
			events = append(events, *e)
			return true
		}, sql, append(args, n)...); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(events, func(a, b queue.Event) int {
		if !filter.OldestFirst {
			a, b = b, a
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return events[:min(n, len(events))], c.script("COMMIT")
}

// source is where to look for events.
type source struct{ tables, condition, id string }

const fromStatus = ` CROSS JOIN event e ON e.id = s.event LEFT JOIN delivery d ON d.id = e.delivery `

var (
	allEvents = source{eventTables, "true", "e.id"}
	delivered = source{eventTables, "s.state = 1", "e.id"}
	dead      = source{` FROM status s INDEXED BY status_dead` + fromStatus, "s.consumer = ? AND s.state = 2", "s.event"}
	// Pending events are found by their status, if something has happened to them, and
	// otherwise in the log behind the mark.
	known = source{` FROM status s INDEXED BY status_pending` + fromStatus, "s.consumer = ? AND s.state = 0", "s.event"}
	fresh = source{eventTables, "s.event IS NULL AND e.id > (SELECT mark FROM consumer WHERE id = 1)", "e.id"}
)

func sourcesOf(state queue.State) []source {
	switch state {
	case queue.Pending:
		return []source{known, fresh}
	case queue.Dead:
		return []source{dead}
	case queue.Delivered:
		return []source{delivered}
	}
	return []source{allEvents}
}

// listing returns a query for what a filter selects. Its last parameter is how many rows
// to return.
func (s source) listing(f *queue.Filter) (sql string, args []any) {
	where := s.condition
	args = []any{consumer}
	add := func(is bool, condition string, arg any) {
		if is {
			where += " AND " + condition
			args = append(args, arg)
		}
	}
	add(f.ID != 0, s.id+" = ?", f.ID)
	add(f.After != 0, s.id+" > ?", f.After)
	add(f.Before != 0, s.id+" < ?", f.Before)
	add(f.Field != "", "e.field = ?", f.Field)
	add(f.Account != "", "e.account = ?", f.Account)
	add(!f.Since.IsZero(), "e.accepted >= ?", f.Since.UnixMicro())
	order, body := " DESC", "NULL"
	if f.OldestFirst {
		order = ""
	}
	if f.Bodies {
		body = "e.body"
	}
	return "SELECT " + eventColumns + body + s.tables + "WHERE " + where + " ORDER BY " + s.id + order + " LIMIT ?", args
}
