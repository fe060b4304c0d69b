package bolt

import (
	"context"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// chunk is how many events are looked at before others may go on.
const chunk = 512

// List implements queue.Store.
func (s *Store) List(ctx context.Context, filter queue.Filter) ([]queue.Event, error) {
	var found []queue.Event
	err := s.scan(ctx, filter, filter.OldestFirst, func(e queue.Event) bool {
		found = append(found, e)
		return filter.Limit <= 0 || len(found) < filter.Limit
	})
	if err == nil && filter.ID != 0 && len(found) == 0 {
		err = queue.ErrNotFound
	}
	return found, err
}

// scan calls visit with the events that a filter selects, until it returns
// false: the newest first, or the oldest.
func (s *Store) scan(ctx context.Context, filter queue.Filter, oldest bool, visit func(queue.Event) bool) error {
	from := uint64(0) // the id to go on from; 0: the first of all
	if !oldest && filter.Before > 0 {
		if filter.Before == 1 {
			return nil
		}
		from = filter.Before - 1
	}
	if oldest && filter.After > 0 {
		from = filter.After + 1
	}
	if filter.ID != 0 {
		from = filter.ID
	}
	for goOn := true; goOn; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.use(func(t *txn) error {
			if filter.ID == 0 {
				defer func() { _ = reclaim(t.tx) }() // else all that is read stays in memory
			}
			w := t.walk(filter.State, oldest, from)
			for range chunk {
				id, st, err := w.next()
				if err != nil {
					return err
				}
				if id == 0 || filter.ID != 0 && id != filter.ID || id <= filter.After || filter.Before != 0 && id >= filter.Before {
					goOn = false
					return nil
				}
				if from = id + 1; !oldest {
					from = id - 1
				}
				if id <= s.last { // else it is not durable yet
					e := queue.Event{ID: id}
					match, err := t.match(&e, &st, filter)
					if err != nil {
						return err
					}
					if match {
						e.InFlight = s.isLeased(id)
						goOn = visit(e)
					}
				}
				if !goOn || from == 0 {
					goOn = false
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// match reads an event, and reports whether the filter selects it.
func (t *txn) match(e *queue.Event, st *status, filter queue.Filter) (bool, error) {
	if filter.State != "" && states[st.state] != filter.State {
		return false, nil
	}
	record := t.record(e.ID)
	if !filter.Since.IsZero() && recordAccepted(record).Before(filter.Since) {
		return false, nil
	}
	if !decodeRecord(record, e, filter.Bodies) {
		return false, errDamaged
	}
	st.into(e)
	return (filter.Field == "" || filter.Field == e.Field) && (filter.Account == "" || filter.Account == e.Account), nil
}
