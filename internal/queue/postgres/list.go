package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// eventColumns are what scan reads, after a column and before the body and the history.
const eventColumns = `e.id, e.identity, e.not_unique, e.conversation, e.account, e.field, e.url, e.origin, e.secret, e.signature, e.accepted,
	w.state, w.lane, w.lease IS NOT NULL, w.size, w.attempts, coalesce(w.tried, 0), coalesce(w.requeued, 0), w.due, coalesce(w.settled, 0), coalesce(w.error, ''),
	coalesce(e.erased, 0), coalesce(e.because, '')`

var leasedColumns = strings.NewReplacer("e.", "(r_event).", "w.", "(r_work).").Replace(eventColumns + ", e.body, NULL::text[]")

var (
	states = []queue.State{queue.Pending, queue.Delivered, queue.Dead, queue.Erased}
	lanes  = []queue.Lane{queue.Live, queue.Retried, queue.Replayed}
)

// scan reads an event. first takes what comes before it.
func scan(row pgx.CollectableRow, consumer string, first any) (*queue.Event, error) {
	e := &queue.Event{Consumer: consumer}
	var id, accepted, tried, requeued, due, settled, erased int64
	var state, lane int
	var signature []byte
	var history []string
	err := row.Scan(first, &id, &e.Identity, &e.NotUnique, &e.Conversation, &e.Account, &e.Field, &e.URL, &e.Origin, &e.Secret, &signature,
		&accepted, &state, &lane, &e.InFlight, &e.Size, &e.Attempts, &tried, &requeued, &due, &settled, &e.LastError,
		&erased, &e.ErasedBecause, &e.Body, &history)
	if err != nil {
		return nil, err
	}
	for _, s := range []*string{&e.Identity, &e.Conversation, &e.Account, &e.Field, &e.URL, &e.Origin, &e.Secret, &e.LastError, &e.ErasedBecause} {
		*s = untext(*s)
	}
	copy(e.Signature[:], signature)
	e.ID, e.State, e.ErasedAt = uint64(id), states[state], queue.FromMicros(erased)
	e.Accepted, e.Tried, e.Requeued, e.Settled = queue.FromMicros(accepted), queue.FromMicros(tried), queue.FromMicros(requeued), queue.FromMicros(settled)
	if e.State == queue.Pending {
		e.Lane, e.Due = lanes[lane], queue.FromMicros(due)
	}
	for _, encoded := range history {
		a, err := decodeAttempt(encoded)
		if err != nil {
			return nil, err
		}
		e.History = append(e.History, a)
	}
	return e, nil
}

// selection is what a filter selects, in SQL.
type selection struct {
	conditions []string
	args       []any
}

const workTables = " FROM {work} w JOIN {event} e ON e.id = w.event JOIN {consumer} c ON c.id = w.consumer WHERE "

// add adds a condition, if it is wanted.
func (q *selection) add(wanted bool, condition string, arg any) {
	if wanted {
		q.args = append(q.args, arg)
		q.conditions = append(q.conditions, fmt.Sprintf(condition, len(q.args)))
	}
}

func selectionOf(f *queue.Filter) *selection {
	q := &selection{conditions: []string{"true"}}
	q.add(f.ID != 0, "w.event = $%d", int64(f.ID))
	q.add(len(f.IDs) > 0, "w.event = ANY($%d)", f.IDs)
	q.add(f.Consumer != "", "c.name = $%d", f.Consumer)
	q.add(f.State != "", "w.state = $%d", stateCodes[f.State])
	q.add(f.Field != "", "e.field = $%d", text(f.Field))
	q.add(f.Account != "", "e.account = $%d", text(f.Account))
	q.add(f.Conversation != "", "e.conversation = $%d", text(f.Conversation))
	q.add(f.Error != "", "starts_with(w.error, $%d)", text(f.Error))
	q.add(f.Failed, "w.error <> $%d", "")
	// Times are stored to the microsecond, and one that was cut off counts as it was.
	q.add(!f.Since.IsZero(), "e.accepted >= $%d", f.Since.Add(time.Microsecond-1).UnixMicro())
	q.add(f.After != 0, "w.event > $%d", int64(f.After))
	q.add(f.Before != 0, "w.event < $%d", int64(f.Before))
	return q
}

// sql returns a query for columns, of the first events up to limit if that is not 0.
func (q *selection) sql(columns, direction string, limit int) string {
	tables := workTables + strings.Join(q.conditions, " AND ")
	query := "SELECT " + columns + tables
	if limit > 0 {
		query += fmt.Sprintf(" AND w.event IN (SELECT w.event%s GROUP BY w.event ORDER BY w.event %s LIMIT %d)", tables, direction, limit)
	}
	return query + " ORDER BY w.event " + direction + `, c.name COLLATE "C"`
}

// List implements queue.Store.
func (s *Store) List(ctx context.Context, f queue.Filter) ([]queue.Event, error) {
	columns, direction := "c.name, "+eventColumns, "DESC"
	if f.OldestFirst {
		direction = "ASC"
	}
	columns += map[bool]string{true: ", e.body", false: ", NULL::bytea"}[f.Bodies]
	columns += map[bool]string{true: ", w.history", false: ", NULL::text[]"}[f.History]
	q := selectionOf(&f)
	return read(ctx, s, func(work context.Context) ([]queue.Event, error) {
		work, cancel := context.WithCancel(work)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)() // nothing is written
		rows, err := s.pool.Query(work, s.sql(q.sql(columns, direction, f.Limit)), q.args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (queue.Event, error) {
			var consumer string
			e, err := scan(row, "", &consumer)
			if err != nil {
				return queue.Event{}, err
			}
			e.Consumer = consumer
			return *e, nil
		})
	})
}

// Last implements queue.Store.
func (s *Store) Last(ctx context.Context) (uint64, error) {
	id, err := read(ctx, s, func(work context.Context) (id int64, err error) {
		err = s.pool.QueryRow(work, s.sql("SELECT coalesce(max(id), 0) FROM {event}")).Scan(&id)
		return id, err
	})
	return uint64(id), err
}

// perStep is how many events are changed in one transaction.
const perStep = 1000

// requeued is what a step of Requeue did.
type requeued struct {
	selected, events int
	last             int64 // event
}

// Requeue implements queue.Store.
func (s *Store) Requeue(ctx context.Context, f queue.Filter, interval time.Duration) (total int, err error) {
	now := time.Now().UnixMicro()
	defer s.changed()
	for _, part := range f.Split(perStep) {
		for more := true; more; {
			done, err := prepared(ctx, s, func(work context.Context) (requeued, error) {
				return s.requeueStep(work, part, now, int64(total), interval)
			})
			if err != nil {
				return total, err
			}
			total += done.events
			part.After = max(part.After, uint64(done.last))
			more = done.selected >= perStep
		}
	}
	return total, nil
}

// requeueStep requeues the first of what a filter selects, after others.
func (s *Store) requeueStep(ctx context.Context, f queue.Filter, now, others int64, interval time.Duration) (did requeued, err error) {
	events, consumers, states, err := s.requeueable(ctx, f, now)
	if err != nil || len(events) == 0 {
		return did, err
	}
	did.selected, did.last = len(events), events[len(events)-1]
	err = s.pool.QueryRow(ctx, s.sql("SELECT {requeue}($1, $2, $3, $4, $5, $6, $7)"), s.durability(), now, others,
		interval.Microseconds(), events, consumers, states).Scan(&did.events)
	return did, err
}

// requeueable returns the first of what a filter selects and can be requeued.
func (s *Store) requeueable(ctx context.Context, f queue.Filter, now int64) (events []int64, consumers, states []int32, err error) {
	q := selectionOf(&f)
	q.add(true, "e.erased IS NULL AND (w.state > 0 OR w.lease IS NULL AND w.due > $%d)", now)
	rows, err := s.pool.Query(ctx, s.sql(q.sql("w.event, w.consumer, w.state", "ASC", perStep)), q.args...)
	if err != nil {
		return nil, nil, nil, err
	}
	var event int64
	var consumer, state int32
	_, err = pgx.ForEachRow(rows, []any{&event, &consumer, &state}, func() error {
		events, consumers, states = append(events, event), append(consumers, consumer), append(states, state)
		return nil
	})
	return events, consumers, states, err
}
