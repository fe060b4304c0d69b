package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// turn is whose turn it is with a consumer.
type turn struct {
	lease chan struct{} // has a token while somebody asks: others would ask the same
	odd   int32         // 0 or 1: which of the lanes gets more
	low   int64         // no live event before it was free when somebody asked last
	full  time.Time     // when somebody asked without low
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
		if err != nil {
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
	t.odd = 1 - t.odd
	now, number := time.Now(), got.session.next()
	rows, err := s.pool.Query(ctx, s.sql(leaseSQL), s.durability(), consumer, number, int32(limit), t.odd, int64(0), now.UnixMicro())
	if err != nil {
		return got, err
	}
	var id int32
	got.events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*queue.Event, error) {
		return scan(row, consumer, &id)
	})
	if code(err) == codeNoSession {
		got.lose()
	}
	if err != nil {
		return got, err
	}
	if len(got.events) == 0 {
		var next *int64
		err = s.pool.QueryRow(ctx, s.sql("SELECT {next_due}($1, $2)"), consumer, now.UnixMicro()).Scan(&next)
		if next != nil {
			got.next = fromMicros(*next)
		}
		return got, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range got.events {
		s.leases[e] = held{got.session, number, id}
	}
	return got, nil
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
	err  error
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

const settleSQL = "SELECT {settle}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"

var stateCodes = map[queue.State]int32{queue.Pending: 0, queue.Delivered: 1, queue.Dead: 2}

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
		states, due, tried = append(states, state), append(due, micros(item.Outcome.Due)), append(tried, micros(item.Ended))
		errs, attempts = append(errs, text(item.Error)), append(attempts, encodeAttempt(&item.Attempt))
	}
	done, err := retry(s.work, func(ctx context.Context) (done []int32, err error) {
		err = s.pool.QueryRow(ctx, s.sql(settleSQL), s.durability(), time.Now().UnixMicro(), events, consumers, leases, states, due, tried,
			errs, attempts).Scan(&done)
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
	s.changed()
	return nil
}
