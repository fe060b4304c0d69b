package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// makeSchema makes the schema, unless it is there.
func (s *Store) makeSchema(ctx context.Context) error {
	return s.once(ctx, &s.schemaReady, func(ctx context.Context) error {
		if err := s.migrate(ctx, version, migrations); err != nil {
			return err
		}
		s.inspect()
		s.schemaReady.Store(true)
		return nil
	})
}

// prepare makes the schema, and has consumers join who could not.
func (s *Store) prepare(ctx context.Context) error {
	if s.joined.Load() {
		return nil
	}
	if err := s.makeSchema(ctx); err != nil {
		return err
	}
	return s.once(ctx, &s.joined, s.joinPending)
}

// once does what has to be done before anything else, unless it is done. It fails at once for
// a second after that has failed.
func (s *Store) once(ctx context.Context, done *atomic.Bool, do func(context.Context) error) error {
	if done.Load() {
		return nil
	}
	if err := s.beginPreparing(); err != nil {
		return err
	}
	defer s.endPreparing()
	if done.Load() {
		return nil
	}
	if s.failed == nil || time.Since(s.failedAt) >= time.Second {
		s.failed = do(ctx)
		s.failedAt = time.Now()
	}
	return s.failed
}

// beginPreparing locks preparing. It fails at once while whoever holds that gets no answer
// from the database, for example because a commit waits for the standby.
func (s *Store) beginPreparing() error {
	if s.holding.stuck(patience / 2) {
		return errUnprepared
	}
	s.preparing.Lock()
	s.holding.begin()
	return nil
}

func (s *Store) endPreparing() {
	s.holding.end()
	s.preparing.Unlock()
}

// joinPending has consumers join who could not. The caller holds preparing.
func (s *Store) joinPending(ctx context.Context) error {
	s.mu.Lock()
	pending := s.joining
	s.mu.Unlock()
	if len(pending) > 0 {
		s.inspect() // what they wait for may be found
		// What others accept from then on is for them, too.
		if _, err := s.begin(ctx); err != nil {
			return err
		}
		if err := s.join(ctx, pending); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joining = s.joining[len(pending):]
	s.joined.Store(len(s.joining) == 0)
	return nil
}

// migrate brings the schema to a version.
func (s *Store) migrate(ctx context.Context, version int64, migrations []string) error {
	var exists bool
	const find = "SELECT EXISTS (SELECT FROM information_schema.tables WHERE table_schema = $1 AND table_name = 'version')"
	if err := s.pool.QueryRow(ctx, find, s.Schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if err := s.script(ctx, schema+functions); err != nil && code(err) != codeExists { // another gateway was faster
			return err
		}
	}
	var number, oldest int64
	for {
		if err := s.pool.QueryRow(ctx, s.sql("SELECT number, oldest FROM {version}")).Scan(&number, &oldest); err != nil {
			return err
		}
		if number >= version {
			break
		}
		steps := fmt.Sprintf(setVersion, version, number) + strings.Join(migrations[number-1:], ";") + ";" + functions
		if err := s.script(ctx, steps); err != nil && code(err) != codeMigrated {
			return err
		}
	}
	if oldest > version {
		return fmt.Errorf("%w: the schema is of version %d, and this program knows %d. "+queue.RunNewer, queue.ErrVersion, number, version)
	}
	if number > version && number != s.layout.Load() {
		s.logger().Warn("the schema of the queue is of a newer version than this gateway, which can use it still: update the gateway",
			zap.Int64("schema", number), zap.Int64("gateway", version))
	}
	s.layout.Store(number)
	return nil
}

const setVersion = `DO $$ BEGIN
	UPDATE version SET number = %d WHERE number = %d;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'migrated' USING ERRCODE = '` + codeMigrated + `';
	END IF;
END $$;`

// script changes the schema, in one transaction that is one message, while nobody else does.
func (s *Store) script(ctx context.Context, sql string) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	name := pgx.Identifier{s.Schema}.Sanitize()
	quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
	_, err = conn.Conn().PgConn().Exec(ctx, "SELECT set_config('synchronous_commit', '"+s.durability()+"', true), pg_advisory_xact_lock(hashtext('instagram_queue '||"+quoted+"));"+
		"CREATE SCHEMA IF NOT EXISTS "+name+";SELECT set_config('search_path', "+quoted+", true);"+sql).ReadAll()
	return err
}
