package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Join implements queue.Store. While the database or its standby is away, or cannot be used
// for another reason that may pass, it succeeds: they join once that is there, before anything
// is accepted.
func (s *Store) Join(ctx context.Context, consumers []queue.Consumer) error {
	patient, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	_, err := call(patient, s, nil, func(work context.Context) (_ struct{}, err error) {
		if _, err = s.currentSession(work); err == nil {
			err = s.join(work, consumers)
		}
		if err == nil || lasts(err) {
			return struct{}{}, err
		}
		s.joinLater(consumers, err)
		return struct{}{}, nil
	})
	if errors.Is(err, errPatience) {
		s.joinLater(consumers, err)
		err = nil
	}
	s.changed()
	return err
}

// joinLater has consumers join before anything else is done.
func (s *Store) joinLater(consumers []queue.Consumer, err error) {
	s.logger().Warn("consumers of the queue join once the database can be used", zap.Error(sanitize(err)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joining = append(s.joining, consumers...)
	s.joined.Store(false)
}

func (s *Store) join(ctx context.Context, consumers []queue.Consumer) error {
	names, orderings, fields := []string{}, []string{}, []string{}
	for _, c := range consumers {
		kept := ""
		if c.FromKept {
			wanted := []string{}
			for _, field := range c.Fields {
				wanted = append(wanted, text(field))
			}
			encoded, err := json.Marshal(wanted)
			if err != nil {
				return err
			}
			kept = string(encoded)
		}
		order := cmp.Or(c.Order, queue.ByConversation)
		names, orderings, fields = append(names, c.Name), append(orderings, string(order)), append(fields, kept)
	}
	_, err := s.pool.Exec(ctx, s.sql("SELECT {join_consumers}($1, $2, $3, $4, $5)"), s.durability(), names, orderings, fields, int32(queue.MaxConsumers))
	return err
}

// Pause implements queue.Store.
func (s *Store) Pause(ctx context.Context, consumer string, paused bool) error {
	found, err := number[bool](ctx, s, "SELECT {pause}($1, $2, $3)", s.durability(), consumer, paused)
	if err == nil && !found {
		err = queue.ErrNoConsumer
	}
	s.changed()
	return err
}

// Discard implements queue.Store.
func (s *Store) Discard(ctx context.Context, consumer string, id uint64) error {
	result, err := number[int32](ctx, s, "SELECT {discard}($1, $2, $3)", s.durability(), int64(id), consumer)
	s.changed()
	return refusal(result, err, queue.ErrNotFound)
}

// refusal returns the error that a function returned as a number.
func refusal(result int32, err, notFound error) error {
	switch {
	case err != nil:
		return err
	case result == 1:
		return notFound
	case result == 2:
		return queue.ErrLeased
	case result == 3:
		return queue.ErrElsewhere
	}
	return nil
}

// Drop implements queue.Store.
func (s *Store) Drop(ctx context.Context, consumer string) error {
	own := int32(0)
	s.mu.Lock()
	if s.session != nil { // what it says may be old
		own = s.session.id
	}
	s.mu.Unlock()
	result, err := number[int32](ctx, s, "SELECT {drop_consumer}($1, $2, $3)", s.durability(), own, consumer)
	if err = refusal(result, err, queue.ErrNoConsumer); err != nil {
		return err
	}
	s.changed()
	for more := true; more && err == nil; { // what is left when this ends early, Expire forgets
		more, err = s.expire(ctx, 0, 0, 0)
	}
	return err
}

// Expire implements queue.Store. Nothing that it forgets waits for a consumer.
func (s *Store) Expire(ctx context.Context, r queue.Retention) (more bool, err error) {
	now := time.Now()
	return s.expire(ctx, now.Add(-r.Delivered).UnixMicro(), now.Add(-r.Dead).UnixMicro(), now.Add(-r.Dedupe).UnixMicro())
}

const expireSQL = "SELECT {expire}($2, $3, $4, $5) FROM (SELECT set_config('synchronous_commit', $1, true)) AS c"

func (s *Store) expire(ctx context.Context, delivered, dead, identities int64) (bool, error) {
	return number[bool](ctx, s, expireSQL, s.durability(), delivered, dead, identities, int32(perStep))
}

// counted are statistics, which cost much.
type counted struct {
	all   []queue.Stats
	until time.Time
	stale int // raised when they are no longer right
}

// Stats implements queue.Store. They may be some seconds old.
func (s *Store) Stats(ctx context.Context) ([]queue.Stats, error) {
	return read(ctx, s, s.count)
}

// count returns statistics, for as long as they may be old. Who asks meanwhile waits for the
// same.
func (s *Store) count(ctx context.Context) ([]queue.Stats, error) {
	s.countingStats.Lock()
	defer s.countingStats.Unlock()
	s.mu.Lock()
	last := s.counted
	s.mu.Unlock()
	begun := time.Now()
	if begun.Before(last.until) {
		return append([]queue.Stats(nil), last.all...), nil
	}
	rows, err := s.pool.Query(ctx, s.sql("SELECT name, paused, pending, bytes, leased, dead, delivered, oldest FROM {stats}()"))
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (stats queue.Stats, err error) {
		var oldest int64
		err = row.Scan(&stats.Consumer, &stats.Paused, &stats.Pending, &stats.PendingBytes, &stats.InFlight, &stats.Dead, &stats.Delivered, &oldest)
		stats.Oldest = queue.FromMicros(oldest)
		return stats, err
	})
	if err == nil && s.stats > 0 {
		ended := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.counted.stale == last.stale {
			s.counted = counted{append([]queue.Stats(nil), all...), ended.Add(max(s.stats, 20*ended.Sub(begun))), last.stale}
		}
	}
	return all, err
}

// recount has the next statistics be counted.
func (s *Store) recount() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted = counted{stale: s.counted.stale + 1}
	s.backlog.forget()
}
