package bolt

import (
	"context"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// step is how many events one transaction requeues or forgets.
const step = 1024

// Requeue implements queue.Store.
func (s *Store) Requeue(ctx context.Context, filter queue.Filter, interval time.Duration) (int, error) {
	filter.Limit, filter.Bodies = 0, false
	if filter.Before == 0 {
		s.mu.RLock() // a compaction reads it anew
		s.state.Lock()
		filter.Before = s.last + 1 // what is accepted meanwhile is not looked at
		s.state.Unlock()
		s.mu.RUnlock()
	}
	total, due := 0, time.Now()
	var batch []queue.Event
	flush := func() error {
		n, err := s.requeue(ctx, batch, due, interval)
		total += n
		due = due.Add(time.Duration(n) * interval)
		batch = batch[:0]
		return err
	}
	for {
		full := false
		err := s.scan(ctx, filter, true, func(e queue.Event) bool {
			batch = append(batch, e)
			full = len(batch) == step
			return !full
		})
		if err != nil {
			return total, err
		}
		if len(batch) == 0 {
			return total, nil
		}
		last := batch[len(batch)-1].ID
		if err := flush(); err != nil || !full || filter.ID != 0 {
			return total, err
		}
		filter.After = last
	}
}

// requeue makes events due again, one each interval.
func (s *Store) requeue(ctx context.Context, events []queue.Event, due time.Time, interval time.Duration) (n int, err error) {
	taken := s.reserve(events)
	defer func() { s.giveBack(taken) }()
	err = s.do(ctx, &operation{apply: func(t *txn) error {
		n = 0
		for _, e := range taken {
			at := micros(due.Add(time.Duration(n) * interval))
			if t.requeue(e, at) {
				n++
			}
		}
		return nil
	}})
	if err != nil {
		n = 0
	}
	return n, err
}

// reserve keeps those of events that are not leased from being leased.
func (s *Store) reserve(events []queue.Event) (taken []*queue.Event) {
	s.state.Lock()
	defer s.state.Unlock()
	for i := range events {
		if e := &events[i]; !s.isLeased(e.ID) {
			s.leased[e.ID] = "" // it holds up no others
			taken = append(taken, e)
		}
	}
	return taken
}

// requeue makes an event due, and reports whether there was anything to do.
func (t *txn) requeue(e *queue.Event, due uint64) bool {
	if st, ok := t.pendingStatus(e.ID); ok {
		if st.lane == codeLive || st.due <= t.now {
			return false
		}
		free := t.leave(e.ID, &st)
		st.due = t.now
		t.put(t.pending, t.id(e.ID), st.append)
		if free {
			t.enter(e.ID, &st)
		}
		return true
	}
	st, ok := decodeStatus(t.done.Get(t.id(e.ID)))
	if !ok {
		return false // forgotten meanwhile
	}
	t.forgetDone(e.ID, &st)
	// A place at the end of those that were requeued before it.
	st = status{state: codePending, lane: codeReplayed, position: t.nextID(), due: due, requeued: t.now}
	t.put(t.pending, t.id(e.ID), st.append)
	if e.Order == "" {
		t.enter(e.ID, &st)
	} else {
		t.queueUp(e.ID, &st, lineOf(st.lane, e.Order), true)
	}
	t.counts.pending++
	t.counts.bytes += int64(e.Size)
	return true
}

// forgetDone takes an event from those that are done.
func (t *txn) forgetDone(id uint64, st *status) {
	t.delete(t.done, t.id(id))
	t.delete(t.settled, settledKey(st.state, st.settled, id))
	t.counts.count(st.state, -1)
}

// Discard implements queue.Store.
func (s *Store) Discard(ctx context.Context, id uint64) error {
	events, err := s.List(ctx, queue.Filter{ID: id})
	if err != nil {
		return err
	}
	taken := s.reserve(events)
	if len(taken) == 0 {
		return queue.ErrLeased
	}
	defer s.giveBack(taken)
	return s.do(ctx, &operation{exclusive: true, apply: func(t *txn) error {
		if st, ok := t.pendingStatus(id); ok {
			t.stepOut(id, &st, taken[0].Order)
			t.removePending(id, &st)
			t.counts.pending--
			t.counts.bytes -= int64(taken[0].Size)
		} else if st, ok := decodeStatus(t.done.Get(t.id(id))); ok {
			t.forgetDone(id, &st)
		} else {
			return queue.ErrNotFound
		}
		t.removeRecord(id)
		return nil
	}})
}
