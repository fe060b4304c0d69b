package sqlite

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// step is how many events one transaction requeues or forgets: more of them would hold up
// what is accepted meanwhile.
const step = 256

// Requeue implements queue.Store.
func (s *Store) Requeue(ctx context.Context, filter queue.Filter, interval time.Duration) (total int, err error) {
	filter.Limit, filter.Bodies, filter.History, filter.OldestFirst = 0, false, false, true
	due := time.Now()
	if err := s.do(ctx, &operation{apply: func(t *txn) error {
		if filter.Before == 0 {
			filter.Before = uint64(t.memory.last) + 1 // what is accepted meanwhile is not looked at
		}
		return nil
	}}); err != nil {
		return 0, err
	}
	requeue := func(events []queue.Event) error {
		n := 0
		err := s.do(ctx, &operation{apply: func(t *txn) error {
			n = 0
			for i := range events {
				at := queue.Micros(due.Add(time.Duration(n) * interval))
				c := t.memory.consumer(events[i].Consumer)
				if c == nil {
					continue // dropped meanwhile
				}
				done, err := t.requeue(c, int64(events[i].ID), at)
				if err != nil {
					return err
				}
				if done {
					n++
				}
			}
			return nil
		}})
		if err == nil {
			total += n
			due = due.Add(time.Duration(n) * interval)
		}
		return err
	}
	for _, part := range filter.Split(step) {
		if err := s.scan(ctx, part, step, requeue); err != nil {
			return total, err
		}
	}
	return total, nil
}

// Discard implements queue.Store.
func (s *Store) Discard(ctx context.Context, consumer string, number uint64) error {
	id := int64(number)
	return s.do(ctx, &operation{apply: func(t *txn) error {
		var have []*consumerStanding
		for _, c := range t.memory.consumers {
			if c.name == "" || consumer != "" && c.name != consumer {
				continue
			}
			w, has, err := t.stands(c, id)
			switch {
			case err != nil:
				return err
			case c.leased[id] != nil:
				return queue.ErrLeased
			case has:
				have = append(have, &consumerStanding{c, w})
			}
		}
		if len(have) == 0 {
			return queue.ErrNotFound
		}
		for _, h := range have {
			if err := t.discard(h.consumer, id, &h.standing); err != nil {
				return err
			}
		}
		return nil
	}})
}

// consumerStanding is where an event stands for one of its consumers.
type consumerStanding struct {
	*consumer
	standing
}

// expireSteps is how many steps one Expire takes. Others commit in between.
const expireSteps = 8

// Expire implements queue.Store.
func (s *Store) Expire(ctx context.Context, retention queue.Retention) (more bool, err error) {
	more = true
	for n := 0; n < expireSteps && more && err == nil; n++ {
		err = s.do(ctx, &operation{apply: func(t *txn) (err error) {
			more, err = t.expire(retention)
			return err
		}})
	}
	if err == nil && !more {
		err = s.expireKept(retention)
	}
	return more, err
}

// expire forgets up to step events whose retention is over, and reports whether there may
// be more.
func (t *txn) expire(retention queue.Retention) (more bool, err error) {
	if more, err = t.sweep(); err != nil || more {
		return more, err
	}
	budget := step
	for _, c := range t.memory.consumers {
		for state, keep := range map[int]time.Duration{stateDelivered: retention.Delivered, stateDead: retention.Dead, stateErased: retention.Delivered} {
			n, err := t.expireSettled(c, state, keep, budget)
			if budget -= n; err != nil || budget == 0 {
				return true, err
			}
		}
	}
	return t.expireIdentities(retention.Dedupe)
}

const selectSettled = `SELECT s.event, e.delivery FROM status s CROSS JOIN event e ON e.id = s.event
	WHERE s.consumer = ? AND s.state = ? AND s.settled IS NOT NULL AND s.settled <= ? ORDER BY s.settled LIMIT ?`

// expireSettled forgets events that were settled for a consumer too long ago, and returns
// how many.
func (t *txn) expireSettled(c *consumer, state int, keep time.Duration, most int) (n int, err error) {
	var old []left
	if err := t.db.each(func(s *sqlite3.Stmt) bool {
		old = append(old, left{s.ColumnInt64(0), s.ColumnInt64(1)})
		return true
	}, selectSettled, c.id, state, t.now-keep.Microseconds(), most); err != nil {
		return 0, err
	}
	for _, e := range old {
		if c.leased[e.id] != nil {
			continue // it was erased meanwhile
		}
		if err := t.forget(c, e.id, &standing{delivery: e.delivery, hasStatus: true, state: state}); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}
