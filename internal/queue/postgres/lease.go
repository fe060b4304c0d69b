package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// turn is whose turn it is with a consumer.
type turn struct {
	lease chan struct{} // has a token while somebody asks: others would ask the same
	odd   int32         // 0 or 1: which of the lanes gets more

	// No live event before low is free, as far as this gateway knows: the rows of those that
	// were stay in the index while somebody holds a snapshot. What others have freed is
	// found when the whole index is read, which was at full.
	low     int64
	lowered bool // since somebody asked
	full    time.Time
}

func (s *Store) turnOf(consumer string) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[consumer]
	if t == nil {
		t = &turn{lease: make(chan struct{}, 1)}
		s.turns[consumer] = t
	}
	return t
}

// leased is what a question found.
type leased struct {
	events []*queue.Event
	*session
	next time.Time // without events: when one will be due; zero: who knows
}

// Lease implements queue.Store.
func (s *Store) Lease(ctx context.Context, consumer string, limit int) ([]*queue.Event, context.Context, error) {
	patient, cancel := outlast(ctx, answerGrace)
	defer cancel()
	wait := s.pollMin
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		s.mu.Lock()
		wake := s.wake
		s.mu.Unlock()
		got, err := call(patient, s, s.giveBack, func(work context.Context) (leased, error) {
			t := s.turnOf(consumer)
			select {
			case t.lease <- struct{}{}:
				defer func() { <-t.lease }()
			case <-ctx.Done():
				return leased{}, ctx.Err()
			case <-s.life.Done():
				return leased{}, queue.ErrClosed
			}
			return s.lease(work, t, consumer, limit)
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			return nil, nil, err
		}
		if len(got.events) > 0 {
			return got.events, got.valid, nil
		}
		pause := wait
		if !got.next.IsZero() {
			pause = max(0, min(pause, time.Until(got.next)))
		}
		timer := time.NewTimer(pause)
		select {
		case <-wake:
			wait = s.pollMin
		case <-timer.C:
			wait = min(2*wait, s.pollMax)
		case <-ctx.Done():
		case <-s.life.Done():
		}
		timer.Stop()
	}
}

// answerGrace is how much longer than its caller Lease waits for an answer: what is leased by
// then is the caller's to settle, and is not given back later by somebody else.
const answerGrace = 2 * time.Second

// outlast returns a context that ends a while after another one, for the same reason.
func outlast(ctx context.Context, while time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(while, func() { cancel(ctx.Err()) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

var leaseSQL = "SELECT r_consumer, " + leasedColumns + " FROM {lease}($1, $2, $3, $4, $5, $6, $7)"

// lease asks once.
func (s *Store) lease(ctx context.Context, t *turn, consumer string, limit int) (got leased, err error) {
	if got.session, err = s.currentSession(ctx); err != nil {
		return got, err
	}
	if err := s.settleUnknown(ctx, got.session); err != nil {
		return got, err
	}
	t.odd = 1 - t.odd
	now, number := time.Now(), got.session.next()
	rows, _ := s.pool.Query(ctx, s.sql(leaseSQL), s.durability(), consumer, number, int32(limit), t.odd, s.lowOf(t, now), now.UnixMicro())
	var id int32
	got.events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*queue.Event, error) {
		return scan(row, consumer, &id)
	})
	switch code(err) {
	case codeNoSession:
		got.valid.lose()
	case codeNoConsumer, codeUnique, codeSerialization, codeDeadlock: // nothing is leased
	default:
		if err != nil {
			got.session.mu.Lock()
			got.unknown = append(got.unknown, number)
			got.session.mu.Unlock()
		}
	}
	if err != nil {
		return got, err
	}
	if len(got.events) == 0 {
		var next *int64
		err = s.pool.QueryRow(ctx, s.sql("SELECT {next_due}($1, $2)"), consumer, now.UnixMicro()).Scan(&next)
		if next != nil {
			got.next = queue.FromMicros(*next)
		}
		return got, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range got.events {
		s.leases[e] = held{got.session, number, id}
	}
	t.raise(got.events, limit)
	return got, nil
}

// lowOf returns where to begin in the index.
func (s *Store) lowOf(t *turn, now time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.lowered = false
	if now.Sub(t.full) >= s.pollMax {
		t.full, t.low = now, 0
	}
	return t.low
}

// raise takes note that what is before the last live event that was leased is not free. The
// caller holds mu.
func (t *turn) raise(events []*queue.Event, limit int) {
	live, high := 0, int64(0)
	for _, e := range events {
		if e.Lane == queue.Live {
			live, high = live+1, max(high, int64(e.ID)+1)
		}
	}
	switch {
	case t.lowered || live == 0:
	case live < limit:
		t.low = max(t.low, high)
	default:
		t.low = high
	}
}

// lower takes note that the event low is free, and wakes who waits for it.
func (s *Store) lower(low int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.wake)
	s.wake = make(chan struct{})
	for _, t := range s.turns {
		t.low, t.lowered = min(t.low, low), t.lowered || low < math.MaxInt64
	}
}

// giveBack releases what nobody waits for any more.
func (s *Store) giveBack(got leased) {
	for _, e := range got.events {
		_ = s.Settle(s.life, e, queue.Outcome{Released: true}) // else its session ends some day
	}
}

// settlement is an outcome on its way into the queue.
type settlement struct {
	*queue.Event
	queue.Outcome
	held
	lost bool
}

// Settle implements queue.Store. It can be repeated when it has failed.
func (s *Store) Settle(ctx context.Context, event *queue.Event, o queue.Outcome) error {
	if s.life.Err() != nil {
		return queue.ErrClosed
	}
	s.mu.Lock()
	h, ok := s.leases[event]
	s.mu.Unlock()
	if !ok {
		return errLost
	}
	_, err := call(ctx, s, nil, func(context.Context) (_ struct{}, err error) {
		item := &settlement{Event: event, Outcome: o, held: h}
		if err := s.settles.Do(item); err != nil {
			return struct{}{}, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.leases[event] == h {
			delete(s.leases, event)
		}
		if item.lost {
			return struct{}{}, errLost
		}
		return struct{}{}, nil
	})
	return err
}

const settleSQL = "SELECT r_ended, r_low FROM {settle}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"

var stateCodes = map[queue.State]int32{queue.Pending: 0, queue.Delivered: 1, queue.Dead: 2, queue.Erased: 3}

// settleAll stores a batch of outcomes.
func (s *Store) settleAll(batch []*settlement) error {
	var events, leases, due, tried []int64
	var consumers, states []int32
	var errs, attempts []string
	for _, item := range batch {
		state := stateCodes[item.Outcome.State]
		if item.Released {
			state = -1
		}
		events, leases, consumers = append(events, int64(item.ID)), append(leases, item.lease), append(consumers, item.consumer)
		states, due, tried = append(states, state), append(due, queue.Micros(item.Outcome.Due)), append(tried, queue.Micros(item.Ended))
		errs, attempts = append(errs, text(item.Error)), append(attempts, encodeAttempt(&item.Attempt))
	}
	var low int64
	done, err := retry(s.work, func(ctx context.Context) (done []int32, err error) {
		err = s.queryRow(ctx, settleSQL, []any{
			s.durability(), time.Now().UnixMicro(), events, consumers, leases, states, due, tried, errs, attempts,
		}, []any{&done, &low})
		return done, err
	})
	if err != nil {
		return err
	}
	for _, item := range batch {
		item.lost = true
	}
	for _, i := range done {
		batch[i-1].lost = false
	}
	s.lower(low)
	return nil
}
