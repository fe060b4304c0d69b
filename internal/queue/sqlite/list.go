package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// chunk is how many events are listed before others may list theirs.
const chunk = 512

// List implements queue.Store.
func (s *Store) List(ctx context.Context, filter queue.Filter) (found []queue.Event, err error) {
	err = s.scan(ctx, filter, chunk, func(events []queue.Event) error {
		found = append(found, events...)
		return nil
	})
	if err == nil && filter.ID != 0 && len(found) == 0 {
		err = queue.ErrNotFound
	}
	return found, err
}

// Last implements queue.Store.
func (s *Store) Last(ctx context.Context) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return 0, queue.ErrClosed
	}
	return uint64(s.memory.last), nil
}

// scan calls visit with some of the events that a filter selects at a time, of at most n
// ids: the newest first, or the oldest.
func (s *Store) scan(ctx context.Context, filter queue.Filter, n int, visit func([]queue.Event) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.aside(ctx, func(db *conn) error {
		for {
			if filter.Limit > 0 {
				n = min(n, filter.Limit)
			}
			events, ids, err := db.list(&filter, n)
			if err != nil || ids == 0 {
				return err
			}
			s.markLeased(events)
			if err := visit(events); err != nil || ids < n || ids == filter.Limit {
				return err
			}
			if filter.Limit > 0 {
				filter.Limit -= ids
			}
			if last := events[len(events)-1].ID; filter.OldestFirst {
				filter.After = last
			} else {
				filter.Before = last
			}
		}
	})
}

func (s *Store) markLeased(events []queue.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		if c := s.memory.consumer(events[i].Consumer); c != nil {
			_, events[i].InFlight = c.leased[int64(events[i].ID)]
		}
	}
}

// list returns the events that a filter selects, as they were at one moment, up to the nth
// id, and how many ids there are.
func (c *conn) list(filter *queue.Filter, n int) (events []queue.Event, ids int, err error) {
	if err := c.script("BEGIN"); err != nil {
		return nil, 0, err
	}
	consumers, err := c.consumers()
	if err != nil {
		return nil, 0, err
	}
	for _, who := range consumers {
		if who.name == "" || filter.Consumer != "" && filter.Consumer != who.name {
			continue
		}
		for _, source := range sourcesOf(filter.State) {
			sql, args := source.listing(who, filter)
			if err := c.each(func(row *sqlite3.Stmt) bool {
				events = append(events, *readEvent(row, who.name))
				return true
			}, sql, append(args, n)...); err != nil {
				return nil, 0, err
			}
		}
	}
	slices.SortFunc(events, func(a, b queue.Event) int {
		byID := cmp.Compare(a.ID, b.ID)
		if !filter.OldestFirst {
			byID = -byID
		}
		return cmp.Or(byID, cmp.Compare(a.Consumer, b.Consumer))
	})
	for i := range events {
		if i == 0 || events[i].ID != events[i-1].ID {
			if ids == n {
				events = events[:i]
				break
			}
			ids++
		}
	}
	if filter.History {
		if err := c.addHistories(consumers, events); err != nil {
			return nil, 0, err
		}
	}
	return events, ids, c.script("COMMIT")
}

// consumers reads the consumers as they are in the file, by id.
func (c *conn) consumers() (all []*consumer, err error) {
	err = c.each(func(row *sqlite3.Stmt) bool {
		c := newConsumer(row.ColumnInt64(0), row.ColumnText(1))
		c.paused, c.cursor = row.ColumnBool(2), row.ColumnInt64(3)
		c.keptUntil, c.keptFields = row.ColumnInt64(4), row.ColumnText(5)
		c.counts = counts{row.ColumnInt64(6), row.ColumnInt64(7), row.ColumnInt64(8), row.ColumnInt64(9)}
		all = append(all, c)
		return true
	}, `SELECT id, name, paused, mark, kept_until, kept_fields, pending, pending_bytes, dead, delivered FROM consumer ORDER BY id`)
	return all, err
}

// orders reads what a consumer is ordered by.
func (c *conn) orders(consumer int64) (all []order, err error) {
	err = c.each(func(row *sqlite3.Stmt) bool {
		all = append(all, order{row.ColumnInt64(0), queue.Order(row.ColumnText(1))})
		return true
	}, `SELECT since, kind FROM ordering WHERE consumer = ? ORDER BY since`, consumer)
	if err == nil && len(all) == 0 {
		err = damage{fmt.Errorf("the queue %s is damaged: the consumer %d has no order", c.path, consumer)}
	}
	return all, err
}

// addHistories adds the attempts to events.
func (c *conn) addHistories(consumers []*consumer, events []queue.Event) error {
	for i := range events {
		e := &events[i]
		at := slices.IndexFunc(consumers, func(c *consumer) bool { return c.name == e.Consumer })
		if err := c.each(func(row *sqlite3.Stmt) bool {
			e.History = append(e.History, queue.Attempt{
				Ended:  queue.FromMicros(row.ColumnInt64(0)),
				Took:   time.Duration(row.ColumnInt64(1)) * time.Microsecond,
				Status: row.ColumnInt(2),
				Error:  row.ColumnText(3),
				Answer: row.ColumnBlob(4, nil),
			})
			return true
		}, `SELECT ended, took, status, error, answer FROM attempt WHERE consumer = ? AND event = ? ORDER BY number`,
			consumers[at].id, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// source is where to look for events of a consumer.
type source struct{ tables, condition, id string }

const (
	fromStatus = ` CROSS JOIN event e ON e.id = s.event LEFT JOIN delivery d ON d.id = e.delivery `

	// isFresh selects events to which nothing has happened yet. Its parameters, and those of
	// eventTables, are freshArgs.
	isFresh = `s.event IS NULL AND e.id > ?2 AND iif(e.id <= ?3, e.signature <> x'' AND (?4 = '' OR instr(?4, ' ' || e.field || ' ') > 0),
		e.consumers & ?5)`
)

// freshArgs returns the parameters of isFresh.
func (c *consumer) freshArgs(more ...any) []any {
	return append([]any{c.id, c.cursor, c.keptUntil, c.keptFields, c.bit()}, more...)
}

var (
	allEvents = source{eventTables, `(s.state <> 3 OR ` + isFresh + `)`, "e.id"}
	delivered = source{` FROM status s` + fromStatus, "s.consumer = ? AND s.state = 1", "s.event"}
	erased    = source{` FROM status s` + fromStatus, "s.consumer = ? AND s.state = 4", "s.event"}
	dead      = source{` FROM status s INDEXED BY status_dead` + fromStatus, "s.consumer = ? AND s.state = 2", "s.event"}
	// Pending events are found by their status, if something has happened to them, and
	// otherwise in the log behind the mark.
	known = source{` FROM status s INDEXED BY status_pending` + fromStatus, "s.consumer = ? AND s.state = 0", "s.event"}
	fresh = source{eventTables, isFresh, "e.id"}
)

func sourcesOf(state queue.State) []source {
	switch state {
	case queue.Pending:
		return []source{known, fresh}
	case queue.Dead:
		return []source{dead}
	case queue.Delivered:
		return []source{delivered}
	case queue.Erased:
		return []source{erased}
	}
	return []source{allEvents}
}

// listing returns a query for what a filter selects. Its last parameter is how many rows
// to return.
func (s source) listing(c *consumer, f *queue.Filter) (sql string, args []any) {
	where := s.condition
	args = []any{c.id}
	if s == allEvents || s == fresh {
		args = c.freshArgs()
	}
	after := f.After
	if s == fresh {
		// SQLite uses one bound of a range: the higher one must be that of isFresh.
		args[1], after = max(c.cursor, int64(min(after, math.MaxInt64))), 0
	}
	add := func(is bool, condition string, arg any) {
		if is {
			where += " AND " + condition
			args = append(args, arg)
		}
	}
	add(f.ID != 0, s.id+" = ?", f.ID)
	if len(f.IDs) > 0 {
		ids, _ := json.Marshal(f.IDs) // numbers cannot fail
		add(true, s.id+" IN (SELECT value FROM json_each(?))", string(ids))
	}
	add(after != 0, s.id+" > ?", after)
	add(f.Before != 0, s.id+" < ?", f.Before)
	add(f.Field != "", "e.field = ?", f.Field)
	add(f.Account != "", "e.account = ?", f.Account)
	add(f.Conversation != "", "e.conversation = ?", f.Conversation)
	add(f.Error != "", "instr(s.error, ?) = 1", f.Error)
	add(f.Failed, "s.error != ?", "")
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
