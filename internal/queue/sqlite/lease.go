package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// How many events one transaction gives a status row as they have to wait, and how many
// numbers of events it looks at, before others may commit.
const (
	maxHeld = 1000
	window  = 10_000
)

// horizon returns up to which event a transaction looks for those of a consumer.
func (t *txn) horizon(c *consumer) int64 { return min(c.cursor+window, t.memory.last) }

// lookAgain bounds how long a Lease waits for a time to come: the clock may be set.
const lookAgain = time.Minute

// Lease implements queue.Store. Leases are lost only with the store.
func (s *Store) Lease(ctx context.Context, consumer string, limit int) ([]*queue.Event, context.Context, error) {
	for {
		var events []*queue.Event
		var next time.Time
		var wake chan struct{}
		err := s.do(ctx, &operation{apply: func(t *txn) error {
			c, err := t.consumer(consumer)
			if err != nil {
				return err
			}
			wake = c.wake
			events, next, err = t.lease(c, limit)
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
		if c := s.memory.consumer(e.Consumer); c != nil {
			c.giveBack(id)
			c.notify()
		}
		return nil
	}
	return s.do(ctx, &operation{apply: func(t *txn) error {
		c, err := t.consumer(e.Consumer)
		if err != nil {
			return err
		}
		return t.settle(c, id, outcome)
	}})
}

// lease leases what is due for a consumer now, or returns when something will be. Live
// events, the lowest ids first, and retried ones take turns; replayed ones come when there
// are neither.
func (t *txn) lease(c *consumer, limit int) (events []*queue.Event, next time.Time, err error) {
	if c.paused {
		return nil, next, nil
	}
	l := &leaser{txn: t, consumer: c}
	defer l.close()
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
		case l.live != 0 && (l.heads[laneRetried].id == 0 || c.turn%2 == 0):
			lane = laneLive
		case l.heads[laneRetried].id != 0:
			lane = laneRetried
		case l.heads[laneReplayed].id == 0, l.next == l.now: // there may be others
			return events, queue.FromMicros(l.next), nil
		}
		e, err := l.take(lane)
		if err != nil {
			return nil, next, err
		}
		if e != nil {
			events = append(events, e)
			if lane != laneReplayed {
				c.turn++
			}
		}
	}
	return events, next, nil
}

// leaser finds the events of one Lease.
type leaser struct {
	*txn
	*consumer
	heads [3]heads      // of chains, with a status row, by lane
	fresh *sqlite3.Stmt // stands at the first event behind the cursor; nil: not begun
	end   int64         // how far fresh looks
	held  int           // how many events got a status row
	next  int64         // when more is due; 0: never; now: that is not known yet

	live int64 // the next live event: returned, a head, or fresh; 0: none is left
}

func (l *leaser) close() {
	for i := range l.heads {
		if s := l.heads[i].stmt; s != nil {
			_ = s.Reset() // repeats the error of its last step
		}
	}
	if l.fresh != nil {
		_ = l.fresh.Reset()
	}
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
		if h.rows == 0 {
			return nil
		}
		if h.stmt, err = h.db.rows(selectHeads[h.lane], h.consumer.id); err != nil {
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
		if h.leased[id] == nil && !h.isBlocked(chain) {
			h.id, h.chain = id, chain
			return nil
		}
	}
	return translate(h.path, h.stmt.Err())
}

// findLive finds the live event with the lowest id that can be leased.
func (l *leaser) findLive() error {
	l.live = l.heads[laneLive].id
	for _, id := range l.returned {
		if chain := l.open[id].chain; chain == 0 || !l.isBusy(-chain) {
			if l.live == 0 || id < l.live {
				l.live = id
			}
			break
		}
	}
	if l.live != 0 && l.live <= l.cursor {
		return nil // all that is fresh comes later
	}
	fresh, err := l.findFresh()
	if fresh != 0 && (l.live == 0 || fresh < l.live) {
		l.live = fresh
	}
	return err
}

const (
	selectFresh = `SELECT ` + eventColumns + `e.body` + eventTables + `WHERE ` + isFresh + ` AND e.id <= ? ORDER BY e.id`
	isBehind    = `SELECT 1 FROM status WHERE consumer = ? AND chain = ? AND state = 0 AND chain <> 0 AND position < ? LIMIT 1`
)

// findFresh returns the next event of the log to which nothing has happened and that can
// be leased, and holds those before it, for which others are in the way.
func (l *leaser) findFresh() (id int64, err error) {
	if l.fresh == nil {
		if l.cursor >= l.memory.last {
			return 0, nil
		}
		l.end = l.horizon(l.consumer)
		if l.fresh, err = l.db.rows(selectFresh, l.freshArgs(l.end)...); err != nil {
			return 0, err
		}
		l.fresh.Step()
	}
	for ; l.fresh.Busy(); l.fresh.Step() {
		if l.held == maxHeld {
			l.next = l.now // go on at once
			return 0, nil
		}
		id := l.fresh.ColumnInt64(0)
		chain := l.chainIn(l.fresh)
		if chain == 0 {
			return id, nil
		}
		before := l.busy[chain]
		held := before != nil && !before.erased
		if !held && l.rows > 0 {
			if held, err = l.db.first(func(*sqlite3.Stmt) {}, isBehind, l.consumer.id, chain, id); err != nil {
				return 0, err
			}
		}
		if !held && !l.isBlocked(chain) {
			return id, nil
		}
		if err := l.hold(l.consumer, id, chain, held); err != nil {
			return 0, err
		}
		l.held++
		l.cursor = id
	}
	if err := l.fresh.Err(); err != nil {
		return 0, translate(l.path, err)
	}
	if l.cursor = l.end; l.cursor < l.memory.last {
		l.next = l.now // go on at once
	}
	return 0, nil
}

const selectEvent = `SELECT ` + eventColumns + `e.body` + eventTables + `WHERE e.id = ?`

// take leases the next event of a lane, and moves on. It returns nil if an event of the
// same sequence in another lane is leased.
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
	if l.live <= l.cursor {
		return l.takeByID(l.live, true)
	}
	e, chain := readEvent(l.fresh, l.name), l.chainIn(l.fresh)
	l.cursor = l.live
	l.sequence = append(l.sequence, l.live)
	l.lease(e, chain, true)
	l.fresh.Step()
	return e, nil
}

func (l *leaser) takeByID(id int64, open bool) (e *queue.Event, err error) {
	var chain int64
	found, err := l.db.first(func(s *sqlite3.Stmt) { e, chain = readEvent(s, l.name), l.chainIn(s) }, selectEvent, l.consumer.id, id)
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
	begun := &lease{chain: chain, open: open, attempts: int64(e.Attempts), tried: queue.Micros(e.Tried), size: int64(e.Size)}
	for code, lane := range lanes {
		if lane == e.Lane {
			begun.lane = code
		}
	}
	l.consumer.begin(id, begun)
	l.begun = append(l.begun, leaseOf{l.consumer, id, begun, true})
}
