package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Erase implements queue.Store. At last it has the database reuse the space of what was
// erased. Until it does, the bytes may be in its files, and for longer in its write-ahead
// log, in archives and in backups.
func (s *Store) Erase(ctx context.Context, e queue.Erasure) (total int, err error) {
	last, err := s.Last(ctx)
	for after := int64(0); err == nil && after < int64(last); {
		var found holding
		if found, err = s.findHolding(ctx, &e, after, int64(last)); err != nil {
			break
		}
		if after = found.upTo; !e.DryRun && len(found.ids) > 0 {
			if err = s.eraseEach(ctx, &e, &found); err != nil {
				break
			}
		}
		total += len(found.ids)
	}
	s.changed()
	if err == nil && !e.DryRun {
		err = s.vacuum(ctx)
	}
	return total, err
}

// holding are events that an erasure selects, and what is left of them.
type holding struct {
	ids                  []int64
	identities, accounts []string
	upTo                 int64 // no event up to this one is left to be looked at
}

// findHolding returns those of some events that an erasure selects.
func (s *Store) findHolding(ctx context.Context, e *queue.Erasure, after, last int64) (holding, error) {
	return call(ctx, s, nil, func(work context.Context) (found holding, err error) {
		const sql = "SELECT id, identity, account, body FROM {event} WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"
		rows, err := s.pool.Query(work, s.sql(sql), after, last, perStep)
		if err != nil {
			return found, err
		}
		var r queue.Record
		n := 0
		_, err = pgx.ForEachRow(rows, []any{&found.upTo, &r.Identity, &r.Account, &r.Body}, func() error {
			n++
			r.Identity, r.Account = untext(r.Identity), untext(r.Account)
			if e.Holds(&r) {
				left := e.Left(r)
				found.ids = append(found.ids, found.upTo)
				found.identities, found.accounts = append(found.identities, text(left.Identity)), append(found.accounts, text(left.Account))
			}
			return nil
		})
		if n < perStep {
			found.upTo = last
		}
		return found, err
	})
}

// eraseLeft erases what is left of events that were erased before: the function erase leaves
// these as they are.
const eraseLeft = `UPDATE {event} e SET identity = t.identity, account = t.account, erased = $2, because = $3
	FROM unnest($4::bigint[], $5::text[], $6::text[]) AS t (id, identity, account), set_config('synchronous_commit', $1, true)
	WHERE e.id = t.id AND e.erased IS NOT NULL`

// eraseEach erases events. What is left of those erased before comes first.
func (s *Store) eraseEach(ctx context.Context, e *queue.Erasure, found *holding) error {
	_, err := call(ctx, s, nil, func(work context.Context) (struct{}, error) {
		for _, sql := range []string{eraseLeft, "SELECT {erase}($1, $2, $3, $4, $5, $6)"} {
			if _, err := s.pool.Exec(work, s.sql(sql), s.durability(), queue.Micros(e.At), text(e.Because),
				found.ids, found.identities, found.accounts); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	if err == nil && e.Erased != nil {
		e.Erased()
	}
	return err
}

// vacuum has the database reuse the space of rows that were changed, and take new samples for
// the planner, which may hold values of these rows.
func (s *Store) vacuum(ctx context.Context) error {
	_, err := call(ctx, s, nil, func(work context.Context) (_ struct{}, err error) {
		work, cancel := context.WithCancel(work)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		for _, table := range []string{"{event}", "{work}"} {
			if _, err := s.pool.Exec(work, s.sql("VACUUM (ANALYZE) "+table)); err != nil {
				return struct{}{}, fmt.Errorf("what was erased is gone, but the database could not be told to reuse its space: %w", err)
			}
		}
		return struct{}{}, nil
	})
	return err
}
