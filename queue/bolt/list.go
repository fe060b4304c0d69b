package bolt

import (
	"bytes"
	"context"

	bbolt "go.etcd.io/bbolt"

	"github.com/caddy-instagram/webhooks/queue"
)

// chunk is how many events are looked at before others may go on.
const chunk = 512

// List implements queue.Store.
func (s *Store) List(ctx context.Context, filter queue.Filter) ([]queue.Event, error) {
	var found []queue.Event
	err := s.scan(ctx, filter, false, func(e queue.Event) bool {
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
			w := walk{oldest: oldest, events: t.events}
			if filter.State == "" || filter.State == queue.Pending {
				w.add(t.pending, from)
			}
			if filter.State != queue.Pending {
				w.add(t.done, from)
			}
			for range chunk {
				id, value := w.next()
				if id == 0 || filter.ID != 0 && id != filter.ID || id <= filter.After || filter.Before != 0 && id >= filter.Before {
					goOn = false
					return nil
				}
				if from = id + 1; !oldest {
					from = id - 1
				}
				if id > s.last {
					continue // not durable yet
				}
				e := queue.Event{ID: id}
				match, err := w.match(&e, value, filter)
				if err != nil {
					return err
				}
				if match {
					e.InFlight = s.isLeased(id)
					goOn = visit(e)
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

// walk goes through pending and done events in the order of their ids.
type walk struct {
	oldest bool
	events table
	at     []*position
}

type position struct {
	*bbolt.Cursor
	first      []byte // key
	key, value []byte
}

// add adds a bucket, from an id on.
func (w *walk) add(b table, from uint64) {
	p := &position{Cursor: b.Cursor()}
	if p.first, _ = p.First(); p.first == nil {
		return // there, Last would not return
	}
	switch {
	case from != 0:
		p.key, p.value = p.Seek(number(from))
		switch {
		case w.oldest:
		case p.key == nil:
			p.key, p.value = p.Last()
		case lastID(p.key) > from:
			p.key, p.value = p.prev()
		}
	case w.oldest:
		p.key, p.value = p.First()
	default:
		p.key, p.value = p.Last()
	}
	w.at = append(w.at, p)
}

// next returns the next id and its status, or 0.
func (w *walk) next() (id uint64, value []byte) {
	var best *position
	for _, p := range w.at {
		if p.key == nil {
			continue
		}
		if best == nil || w.oldest == (lastID(p.key) < lastID(best.key)) {
			best = p
		}
	}
	if best == nil {
		return 0, nil
	}
	id, value = lastID(best.key), best.value
	if w.oldest {
		best.key, best.value = best.Next()
	} else {
		best.key, best.value = best.prev()
	}
	return id, value
}

// match reads an event, and reports whether the filter selects it.
func (w *walk) match(e *queue.Event, value []byte, filter queue.Filter) (bool, error) {
	st, ok := decodeStatus(value)
	if !ok {
		return false, errDamaged
	}
	if filter.State != "" && states[st.state] != filter.State {
		return false, nil
	}
	record := w.events.Get(number(e.ID))
	if !filter.Since.IsZero() && recordAccepted(record).Before(filter.Since) {
		return false, nil
	}
	if !decodeRecord(record, e, filter.Bodies) {
		return false, errDamaged
	}
	st.into(e)
	return (filter.Field == "" || filter.Field == e.Field) && (filter.Account == "" || filter.Account == e.Account), nil
}

// prev is Prev, which ends at a page that deletions in the open transaction have
// left empty.
func (p *position) prev() (key, value []byte) {
	for key == nil && bytes.Compare(p.key, p.first) > 0 {
		key, value = p.Prev()
	}
	return key, value
}
