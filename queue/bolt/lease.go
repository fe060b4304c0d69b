package bolt

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// lookAgain bounds how long a Lease waits for a time to come: the clock may be
// set.
const lookAgain = time.Minute

// Lease implements queue.Store.
func (s *Store) Lease(ctx context.Context, limit int) ([]*queue.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.repair(); err != nil {
			return nil, err
		}
		s.state.Lock()
		wake := s.wake
		s.state.Unlock()
		events, next, err := s.lease(limit)
		if err != nil || len(events) > 0 {
			return events, err
		}
		wait := lookAgain
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		case <-s.closing:
			err = queue.ErrClosed
		}
		timer.Stop()
		if err != nil {
			return nil, err
		}
	}
}

// lease leases what is due now, and returns when more will be.
func (s *Store) lease(limit int) (events []*queue.Event, next time.Time, err error) {
	err = s.use(func(t *txn) error {
		next = s.leaseDue(t, limit, &events)
		return nil
	})
	if err != nil { // a panic in the middle
		s.giveBack(events)
		return nil, next, err
	}
	return events, next, nil
}

// leaseDue is lease for a caller that holds state. It appends to events.
func (s *Store) leaseDue(t *txn, limit int, events *[]*queue.Event) (next time.Time) {
	l := leaser{Store: s, txn: t, now: micros(time.Now())}
	live := l.open(t.ready.position(true, 0))
	retried, replayed := l.open(t.retried.position(true, 0)), l.open(t.replayed.position(true, 0))
	for len(*events) < limit {
		lane := replayed
		switch {
		case live.id != 0 && (retried.id == 0 || s.turn%2 == 0):
			lane = live
		case retried.id != 0:
			lane = retried
		case replayed.id == 0:
			return timeOf(l.next)
		}
		if e := l.take(lane); e != nil {
			*events = append(*events, e)
			if lane != replayed {
				s.turn++
			}
		}
	}
	return timeOf(l.next)
}

// leaser is what it takes to lease events.
type leaser struct {
	*Store
	*txn
	now  uint64
	next uint64 // when more is due; 0: never
}

// laneCursor stands at an event of a lane that may be leased.
type laneCursor struct {
	position
	id uint64 // 0: none is left
}

func (l *leaser) open(p position) *laneCursor {
	c := &laneCursor{position: p}
	l.settle(c)
	return c
}

// settle moves c on to the first event that may be leased.
func (l *leaser) settle(c *laneCursor) {
	for c.id = 0; c.key != nil; c.advance() {
		if len(c.key) == 16 {
			if due := lastID(c.key[:8]); due > l.now {
				if l.next == 0 || due < l.next {
					l.next = due
				}
				return
			}
		}
		if id := c.position.id(); l.mayLease(id) {
			c.id = id
			return
		}
	}
}

// mayLease reports whether nobody has leased an event, and it can be.
func (l *leaser) mayLease(id uint64) bool {
	_, leased := l.leased[id]
	_, damaged := l.damaged[id]
	// One whose commit is under way may not stay, and another one get its id.
	return !leased && !damaged && id <= l.Store.last
}

// take leases the event at c and moves on. It returns nil when an event of
// another lane with the same order is leased, and for one that is damaged.
func (l *leaser) take(c *laneCursor) *queue.Event {
	e := &queue.Event{ID: c.id, InFlight: true}
	st, ok := l.pendingStatus(e.ID)
	if !ok || !decodeRecord(l.record(e.ID), e, true) {
		l.damaged[e.ID] = struct{}{}
		l.logger().Error("an event in the queue is damaged and cannot be delivered", zap.String("path", l.path), zap.Uint64("id", e.ID))
		e = nil
	}
	c.advance()
	l.settle(c)
	if e == nil {
		return nil
	}
	if e.Order != "" {
		if _, busy := l.busy[e.Order]; busy {
			return nil
		}
		l.busy[e.Order] = struct{}{}
	}
	st.into(e)
	l.leased[e.ID] = e.Order
	return e
}

// release ends the lease of an event. The caller holds state.
func (s *Store) release(id uint64) {
	delete(s.busy, s.leased[id])
	delete(s.leased, id)
}

func (s *Store) giveBack(events []*queue.Event) {
	s.state.Lock()
	defer s.state.Unlock()
	for _, e := range events {
		s.release(e.ID)
	}
	s.notify()
}

// Settle implements queue.Store.
func (s *Store) Settle(ctx context.Context, e *queue.Event, outcome queue.Outcome) error {
	if outcome.Released {
		s.giveBack([]*queue.Event{e})
		return nil
	}
	id := e.ID
	return s.do(ctx, &operation{settles: id, apply: func(t *txn) error {
		st, ok := t.pendingStatus(id)
		if !ok {
			return queue.ErrNotFound
		}
		st.lastError = outcome.Error
		if outcome.State == queue.Pending {
			t.postpone(id, st, micros(outcome.Due), micros(outcome.Ended))
			return nil
		}
		t.stepOut(id, &st, e.Order)
		t.removePending(id, &st)
		t.counts.pending--
		t.counts.bytes -= int64(e.Size)
		st.settled = t.now
		if st.state = codeDelivered; outcome.State == queue.Dead {
			st.state = codeDead
		}
		st.attempts++
		t.counts.count(st.state, 1)
		t.put(t.done, t.id(id), st.append)
		t.put(t.settled, settledKey(st.state, st.settled, id), nil)
		return nil
	}})
}

// postpone makes an event due later, after an attempt that failed and ended then.
func (t *txn) postpone(id uint64, st status, due, ended uint64) {
	t.leave(id, &st)
	if st.lane == codeLive {
		t.remove(&t.live, id)
		st.lane = codeRetried
	}
	if st.attempts++; st.tried == 0 {
		st.tried = ended
	}
	st.due = due
	t.put(t.pending, t.id(id), st.append)
	t.enter(id, &st)
}

// isLeased reports whether an event is leased. The caller holds state.
func (s *Store) isLeased(id uint64) bool {
	_, leased := s.leased[id]
	return leased
}
