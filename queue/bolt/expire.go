package bolt

import (
	"context"
	"time"

	"github.com/caddy-instagram/webhooks/queue"
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
		t.delete(t.events, t.id(id))
	}
	return len(due) == step
}

// expireSeen forgets the oldest identities, and reports whether there may be
// more to forget. Those in the buffer can be forgotten after a checkpoint.
func (t *txn) expireSeen(window time.Duration) (more bool) {
	if window == 0 && t.buffer.hasSeen() {
		t.flushAll = true
		more = true
	}
	t.loadSeen()
	n := len(t.generations)
	if n == 0 || n == 1 && window > 0 {
		return more
	}
	// Nothing was added to a generation once the next one had begun.
	if n > 1 && t.generations[n-2].start+uint64(window.Microseconds()) > t.now {
		return false
	}
	t.forget(number(t.generations[n-1].start))
	t.generations = t.generations[:n-1]
	return true
}
