package bolt

import (
	"context"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Expire implements queue.Store.
func (s *Store) Expire(ctx context.Context, retention queue.Retention) (more bool, err error) {
	err = s.do(ctx, &operation{apply: func(t *txn) error {
		more = t.expire(codeDelivered, retention.Delivered)
		more = t.expire(codeDead, retention.Dead) || more
		more = t.expireSeen(retention.Dedupe) || more
		return nil
	}})
	if err == nil && !more {
		_ = s.view(reclaim)
	}
	return more, err
}

// expire forgets events that were settled too long ago, and reports whether
// there may be more of them.
func (t *txn) expire(state byte, keep time.Duration) (more bool) {
	var due []uint64
	c := t.settled.Cursor()
	for key, _ := c.Seek(settledKey(state, 0, 0)); len(key) == 17 && key[0] == state; key, _ = c.Next() {
		if lastID(key[1:9])+uint64(keep.Microseconds()) > t.now {
			break
		}
		if due = append(due, lastID(key)); len(due) == step {
			break
		}
	}
	for _, id := range due {
		st, ok := decodeStatus(t.done.Get(t.id(id)))
		if !ok {
			t.fail(errDamaged)
			return false
		}
		t.forgetDone(id, &st)
		t.removeRecord(id)
	}
	return len(due) == step
}

// expireSeen forgets the identities of runs that are old enough, and reports
// whether there may be more to forget. Those in memory can be forgotten after a
// checkpoint.
func (t *txn) expireSeen(window time.Duration) (more bool) {
	s := t.seen
	if window == 0 && len(s.recent) > 0 {
		t.flushAll = true
		more = true
	}
	s.runs = slices.DeleteFunc(s.runs, func(r run) bool {
		old := r.newest+uint64(window.Microseconds()) <= t.now
		if old {
			t.forget(r.number)
		}
		return old
	})
	return more
}
