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
	filter.Limit, filter.Bodies, filter.OldestFirst = 0, false, true
	due := time.Now()
	if err := s.do(ctx, &operation{apply: func(*txn) error {
		if filter.Before == 0 {
			filter.Before = uint64(s.memory.last) + 1 // what is accepted meanwhile is not looked at
		}
		return nil
	}}); err != nil {
		return 0, err
	}
	err = s.scan(ctx, filter, step, func(events []queue.Event) (bool, error) {
		n := 0
		err := s.do(ctx, &operation{apply: func(t *txn) error {
			n = 0
			for i := range events {
				at := micros(due.Add(time.Duration(n) * interval))
				done, err := t.requeue(int64(events[i].ID), at)
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
		return true, err
	})
	return total, err
}

// Discard implements queue.Store.
func (s *Store) Discard(ctx context.Context, _ string, id uint64) error {
	return s.do(ctx, &operation{apply: func(t *txn) error { return t.discard(int64(id)) }})
}

// Expire implements queue.Store.
func (s *Store) Expire(ctx context.Context, retention queue.Retention) (more bool, err error) {
	err = s.do(ctx, &operation{apply: func(t *txn) error {
		delivered, err := t.expire(stateDelivered, retention.Delivered)
		if err != nil {
			return err
		}
		dead, err := t.expire(stateDead, retention.Dead)
		if err != nil {
			return err
		}
		identities, err := t.expireIdentities(retention.Dedupe)
		more = delivered || dead || identities
		return err
	}})
	return more, err
}

const selectSettled = `SELECT event FROM status WHERE consumer = ? AND state = ? AND settled IS NOT NULL AND settled <= ?
	ORDER BY settled LIMIT ?`

// expire forgets events that were settled too long ago, and reports whether there may
// be more of them.
func (t *txn) expire(state int, keep time.Duration) (more bool, err error) {
	var old []int64
	if err := t.db.each(func(s *sqlite3.Stmt) bool {
		old = append(old, s.ColumnInt64(0))
		return true
	}, selectSettled, consumer, state, t.now-keep.Microseconds(), step); err != nil {
		return false, err
	}
	for _, id := range old {
		w, _, err := t.stands(id)
		if err == nil {
			w.hasStatus, w.state = true, state
			err = t.forget(id, &w)
		}
		if err != nil {
			return false, err
		}
	}
	return len(old) == step, nil
}
