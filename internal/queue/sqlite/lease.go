package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// maxHeld bounds how many events one Lease gives a status row before others may commit.
const maxHeld = 1000

// lookAgain bounds how long a Lease waits for a time to come: the clock may be set.
const lookAgain = time.Minute

// Lease implements queue.Store.
func (s *Store) Lease(ctx context.Context, _ string, limit int) ([]*queue.Event, context.Context, error) {
	for {
		var events []*queue.Event
		var next time.Time
		var wake chan struct{}
		err := s.do(ctx, &operation{apply: func(t *txn) (err error) {
			wake = t.Store.wake
			events, next, err = t.lease(limit)
			return err
		}})
		if err != nil {
			return nil, nil, err
		}
		if len(events) > 0 {
			return events, s.life, nil
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
			err = ctx.Err()
		case <-s.life.Done():
			err = queue.ErrClosed
		}
		timer.Stop()
		if err != nil {
			return nil, nil, err
		}
	}
}

// Settle implements queue.Store.
func (s *Store) Settle(ctx context.Context, e *queue.Event, outcome queue.Outcome) error {
	id := int64(e.ID)
	if outcome.Released {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.isClosed() {
			return queue.ErrClosed
		}
		s.memory.giveBack(id)
		s.notify()
		return nil
	}
	return s.do(ctx, &operation{apply: func(t *txn) error { return t.settle(id, outcome) }})
}

// lease leases what is due now, or returns when something will be. Live events, the
// lowest ids first, and retried ones take turns; replayed ones come when there are
// neither.
func (t *txn) lease(limit int) (events []*queue.Event, next time.Time, err error) {
	m := t.memory
	l := &leaser{txn: t}
	defer func() { err = errors.Join(err, l.close()) }()
	for lane := range l.heads {
		l.heads[lane] = heads{leaser: l, lane: lane}
		if err := l.heads[lane].advance(); err != nil {
			return nil, next, err
		}
	}
	for len(events) < limit {
		if err := l.findLive(); err != nil {
			return nil, next, err
		}
		lane := laneReplayed
		switch {
		case l.live != 0 && (l.heads[laneRetried].id == 0 || m.turn%2 == 0):
			lane = laneLive
		case l.heads[laneRetried].id != 0:
			lane = laneRetried
		case l.heads[laneReplayed].id == 0:
			return events, timeOf(l.next), nil
		}
		e, err := l.take(lane)
		if err != nil {
			return nil, next, err
		}
		if e != nil {
			events = append(events, e)
			if lane != laneReplayed {
				m.turn++
			}
		}
	}
	return events, next, nil
}

// leaser finds the events of one Lease.
type leaser struct {
	*txn
	heads [3]heads      // of chains, with a status row, by lane
	fresh *sqlite3.Stmt // stands at the first event behind the cursor; nil: not begun
	held  int           // how many events got a status row
	next  int64         // when more is due; 0: never

	live int64 // the next live event: returned, a head, or fresh; 0: none is left
}

func (l *leaser) close() error {
	for i := range l.heads {
		if s := l.heads[i].stmt; s != nil {
			_ = s.Reset()
		}
	}
	if l.fresh != nil {
		_ = l.fresh.Reset()
	}
	return nil
}

// heads goes through the heads of chains in a lane that have a status row, in the order
// in which they are due.
type heads struct {
	*leaser
	lane      int
	stmt      *sqlite3.Stmt
	id, chain int64 // the one that it stands at; 0: none is left
}

// A statement for each lane, as all are open at the same time.
var selectHeads = [...]string{headsOf(laneLive), headsOf(laneRetried), headsOf(laneReplayed)}

func headsOf(lane int) string {
	return fmt.Sprintf(`SELECT event, due, chain FROM status
		WHERE consumer = ? AND lane = %d AND state = 0 AND held = 0 ORDER BY due, event`, lane)
}

// advance goes on to the next head that can be leased now.
func (h *heads) advance() (err error) {
	if h.stmt == nil {
		if h.memory.rows == 0 {
			return nil
		}
		if h.stmt, err = h.db.rows(selectHeads[h.lane], consumer); err != nil {
			return err
		}
	}
	for h.id = 0; h.stmt.Step(); {
		if due := h.stmt.ColumnInt64(1); due > h.now {
			if h.leaser.next == 0 || due < h.leaser.next {
				h.leaser.next = due
			}
			return nil
		}
		id, chain := h.stmt.ColumnInt64(0), h.stmt.ColumnInt64(2)
		if h.memory.leased[id] == nil && !h.isBlocked(chain) {
			h.id, h.chain = id, chain
			return nil
		}
	}
	return translate(h.path, h.stmt.Err())
}

// isBlocked reports whether an event of a chain, in this or in the other lanes, is
// leased. The events of one conversation have a chain, and when replayed, its negative.
func (l *leaser) isBlocked(chain int64) bool {
	return chain != 0 && (l.memory.isBusy(chain) || l.memory.isBusy(-chain))
}

// findLive finds the live event with the lowest id that can be leased.
func (l *leaser) findLive() error {
	l.live = l.heads[laneLive].id
	for _, id := range l.memory.returned {
		if chain := l.memory.open[id].chain; chain == 0 || !l.memory.isBusy(-chain) {
			if l.live == 0 || id < l.live {
				l.live = id
			}
			break
		}
	}
	if l.live != 0 && l.live <= l.memory.cursor {
		return nil // all that is fresh comes later
	}
	fresh, err := l.findFresh()
	if fresh != 0 && (l.live == 0 || fresh < l.live) {
		l.live = fresh
	}
	return err
}

const (
	selectFresh = `SELECT ` + eventColumns + `e.body` + eventTables + `WHERE e.id > ? AND ` + noStatus + ` ORDER BY e.id`
	isBehind    = `SELECT 1 FROM status WHERE consumer = ? AND chain = ? AND state = 0 AND chain <> 0 AND position < ? LIMIT 1`
)

// findFresh returns the next event of the log to which nothing has happened and that can
// be leased, and holds those before it, for which others are in the way.
func (l *leaser) findFresh() (id int64, err error) {
	m := l.memory
	if l.fresh == nil {
		if m.cursor >= m.last {
			return 0, nil
		}
		if l.fresh, err = l.db.rows(selectFresh, consumer, m.cursor, consumer); err != nil {
			return 0, err
		}
		l.fresh.Step()
	}
	for ; l.fresh.Busy(); l.fresh.Step() {
		if l.held == maxHeld {
			l.next = l.now // go on at once
			return 0, nil
		}
		id, chain := l.fresh.ColumnInt64(0), l.fresh.ColumnInt64(20)
		if chain == 0 {
			return id, nil
		}
		held := m.isBusy(chain)
		if !held && m.rows > 0 {
			if held, err = l.db.first(func(*sqlite3.Stmt) {}, isBehind, consumer, chain, id); err != nil {
				return 0, err
			}
		}
		if !held && !m.isBusy(-chain) {
			return id, nil
		}
		if err := l.hold(id, chain, held); err != nil {
			return 0, err
		}
		l.held++
		m.cursor = id
	}
	if err := l.fresh.Err(); err != nil {
		return 0, translate(l.path, err)
	}
	m.cursor = m.last
	return 0, nil
}

const selectEvent = `SELECT ` + eventColumns + `e.body` + eventTables + `WHERE e.id = ?`

// take leases the next event of a lane, and moves on. It returns nil if an event of the
// same conversation in another lane is leased.
func (l *leaser) take(lane int) (*queue.Event, error) {
	h := &l.heads[lane]
	if lane == laneLive && l.live != h.id {
		return l.takeOpen()
	}
	id, chain := h.id, h.chain
	if err := h.advance(); err != nil || l.isBlocked(chain) {
		return nil, err
	}
	return l.takeByID(id, false)
}

// takeOpen leases the live event that has no status row.
func (l *leaser) takeOpen() (*queue.Event, error) {
	m := l.memory
	if l.live <= m.cursor {
		return l.takeByID(l.live, true)
	}
	e, chain := readEvent(l.fresh)
	m.cursor = l.live
	m.order = append(m.order, l.live)
	l.lease(e, chain, true)
	l.fresh.Step()
	return e, nil
}

func (l *leaser) takeByID(id int64, open bool) (e *queue.Event, err error) {
	var chain int64
	found, err := l.db.first(func(s *sqlite3.Stmt) { e, chain = readEvent(s) }, selectEvent, consumer, id)
	if err == nil && !found {
		err = failure{damage{fmt.Errorf("the queue %s is damaged: the event %d is missing", l.path, id)}}
	}
	if err == nil {
		l.lease(e, chain, open)
	}
	return e, err
}

// lease takes note that an event is leased.
func (l *leaser) lease(e *queue.Event, chain int64, open bool) {
	id := int64(e.ID)
	e.InFlight = true
	begun := &lease{chain: chain, open: open, attempts: int64(e.Attempts), tried: micros(e.Tried), size: int64(e.Size)}
	for code, lane := range lanes {
		if lane == e.Lane {
			begun.lane = code
		}
	}
	l.memory.begin(id, begun)
	l.begun = append(l.begun, id)
}
