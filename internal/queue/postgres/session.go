package postgres

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// session is what the leases of a gateway are bound to. The database ends it when it has
// not heard of the gateway for the expiry; its context ends before.
type session struct {
	id      int32
	valid   context.Context
	lose    context.CancelFunc
	timer   *time.Timer // loses it
	numbers atomic.Uint32

	mu      sync.Mutex
	unknown []int64 // leases that may have been given, but whose answers did not come
}

// held is a lease.
type held struct {
	*session
	lease    int64
	consumer int32
}

// valid is how long a session is valid here after the database has heard of it: a little
// shorter than there.
func (s *Store) valid() time.Duration { return s.expiry - s.expiry/5 }

// currentSession returns the session, and begins one if there is none.
func (s *Store) currentSession(ctx context.Context) (*session, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	s.preparing.Lock()
	defer s.preparing.Unlock()
	s.mu.Lock()
	current := s.session
	s.mu.Unlock()
	if current != nil && current.valid.Err() == nil {
		return current, nil
	}
	host, _ := os.Hostname()
	begun := time.Now()
	n := new(session)
	if err := s.pool.QueryRow(ctx, s.sql("SELECT {enter}($1, $2, $3)"), s.durability(), text(host), s.expiry.Seconds()).Scan(&n.id); err != nil {
		return nil, err
	}
	n.valid, n.lose = context.WithCancel(s.life)
	n.timer = time.AfterFunc(s.valid()-time.Since(begun), n.lose)
	context.AfterFunc(n.valid, func() { s.forget(n) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = n
	for _, t := range s.turns {
		t.full = time.Time{}
	}
	return n, nil
}

// next returns a number for a lease.
func (n *session) next() int64 { return int64(n.id)<<32 | int64(n.numbers.Add(1)) }

// settleUnknown gives back what nobody here knows to be leased: the session keeps it from others.
func (s *Store) settleUnknown(ctx context.Context, n *session) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.unknown) == 0 {
		return nil
	}
	if _, err := s.pool.Exec(ctx, s.sql("SELECT {release}($1, $2)"), s.durability(), n.unknown); err != nil {
		return err
	}
	n.unknown = nil
	s.changed()
	return nil
}

// forget forgets the leases of a session that ended.
func (s *Store) forget(n *session) {
	n.timer.Stop()
	if s.life.Err() == nil {
		s.logger().Warn("the leases of this gateway may be lost: what is being delivered is cut short, and delivered again")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for event, h := range s.leases {
		if h.session == n {
			delete(s.leases, event)
		}
	}
}

// repeat does something at each interval until Close.
func (s *Store) repeat(interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// keep tells the database that this gateway is alive.
func (s *Store) keep() {
	s.mu.Lock()
	n := s.session
	s.mu.Unlock()
	if n == nil || n.valid.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(n.valid, s.expiry/2)
	defer cancel()
	begun := time.Now()
	var alive bool
	err := s.pool.QueryRow(ctx, s.sql("SELECT {beat}($1, $2, $3)"), s.durability(), n.id, s.expiry.Seconds()).Scan(&alive)
	switch {
	case err == nil && alive:
		n.timer.Reset(s.valid() - time.Since(begun))
	case err == nil:
		n.lose()
	}
}

// prepare makes the schema, unless it is there, and has consumers join who could not. It
// fails at once for a second after it has failed.
func (s *Store) prepare(ctx context.Context) (err error) {
	if s.prepared.Load() {
		return nil
	}
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if s.prepared.Load() {
		return nil
	}
	if s.failed != nil && time.Since(s.failedAt) < time.Second {
		return s.failed
	}
	defer func() { s.failed, s.failedAt = err, time.Now() }()
	if err := s.migrate(ctx); err != nil {
		return err
	}
	s.inspect()
	s.mu.Lock()
	waiting := s.joining
	s.mu.Unlock()
	if len(waiting) > 0 {
		if err := s.join(ctx, waiting); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joining = s.joining[len(waiting):]
	s.prepared.Store(len(s.joining) == 0)
	return nil
}

// migrate brings the schema to this version.
func (s *Store) migrate(ctx context.Context) error {
	var exists bool
	const find = "SELECT EXISTS (SELECT FROM information_schema.tables WHERE table_schema = $1 AND table_name = 'version')"
	if err := s.pool.QueryRow(ctx, find, s.Schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if err := s.create(ctx); err != nil && code(err) != "42P07" { // another gateway was faster
			return err
		}
	}
	var number, oldest int
	if err := s.pool.QueryRow(ctx, s.sql("SELECT number, oldest FROM {version}")).Scan(&number, &oldest); err != nil {
		return err
	}
	if oldest > version {
		return fmt.Errorf("%w: the schema is of version %d, and this program knows %d", queue.ErrVersion, number, version)
	}
	if number > version {
		s.logger().Warn("the schema of the queue is of a newer version than this gateway, which can use it still: update the gateway",
			zap.Int("schema", number), zap.Int("gateway", version))
	}
	return nil
}

// create makes the schema, in one transaction that is one message.
func (s *Store) create(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	name := pgx.Identifier{s.Schema}.Sanitize()
	quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
	_, err = conn.Conn().PgConn().Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('instagram_queue '||"+quoted+"));"+
		"CREATE SCHEMA IF NOT EXISTS "+name+";SELECT set_config('search_path', "+quoted+", true);"+schema).ReadAll()
	return err
}
