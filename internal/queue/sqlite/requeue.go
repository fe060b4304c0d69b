package sqlite

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// step is how many events one transaction requeues or forgets.
const step = 1024

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
	err = s.scan(ctx, filter, step, func(events []queue.Event) error {
		n := 0
		err := s.do(ctx, &operation{apply: func(t *txn) error {
			n = 0
			for i := range events {
				at := micros(due.Add(time.Duration(n) * interval))
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
	})
	return total, err
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

// Expire implements queue.Store.
func (s *Store) Expire(ctx context.Context, retention queue.Retention) (more bool, err error) {
	err = s.do(ctx, &operation{apply: func(t *txn) error {
		if more, err = t.sweep(); err != nil {
			return err
		}
		for _, c := range t.memory.consumers {
			for state, keep := range map[int]time.Duration{stateDelivered: retention.Delivered, stateDead: retention.Dead} {
				left, err := t.expire(c, state, keep)
				if err != nil {
					return err
				}
				more = more || left
			}
		}
		identities, err := t.expireIdentities(retention.Dedupe)
		more = more || identities
		return err
	}})
	return more, err
}

const selectSettled = `SELECT event FROM status WHERE consumer = ? AND state = ? AND settled IS NOT NULL AND settled <= ?
	ORDER BY settled LIMIT ?`

// expire forgets events that were settled for a consumer too long ago, and reports whether
// there may be more of them.
func (t *txn) expire(c *consumer, state int, keep time.Duration) (more bool, err error) {
	if c.name == "" {
		return false, nil
	}
	var old []int64
	if err := t.db.each(func(s *sqlite3.Stmt) bool {
		old = append(old, s.ColumnInt64(0))
		return true
	}, selectSettled, c.id, state, t.now-keep.Microseconds(), step); err != nil {
		return false, err
	}
	for _, id := range old {
		w, _, err := t.stands(c, id)
		if err == nil {
			w.hasStatus, w.state = true, state
			err = t.forget(c, id, &w)
		}
		if err != nil {
			return false, err
		}
	}
	return len(old) == step, nil
}
