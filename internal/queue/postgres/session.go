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
	said    atomic.Pointer[string] // what the database knows of the gateway

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

// currentSession returns the session, and begins one if there is none. The database knows
// then what this gateway says of itself.
func (s *Store) currentSession(ctx context.Context) (*session, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if err := s.beginPreparing(); err != nil {
		return nil, err
	}
	defer s.endPreparing()
	return s.begin(ctx)
}

// begin is currentSession for who holds preparing.
func (s *Store) begin(ctx context.Context) (*session, error) {
	s.mu.Lock()
	current, about := s.session, s.about
	s.mu.Unlock()
	if current != nil && current.valid.Err() == nil {
		return current, s.say(ctx, current)
	}
	host, _ := os.Hostname()
	begun := time.Now()
	n := new(session)
	row := s.pool.QueryRow(ctx, s.sql("SELECT {enter}($1, $2, $3, $4)"), s.durability(), text(host), s.expiry.Seconds(), about)
	if err := row.Scan(&n.id); err != nil {
		return nil, err
	}
	n.said.Store(&about)
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
	var layout int64
	err := s.pool.QueryRow(ctx, s.sql("SELECT {beat}($1, $2, $3), number FROM {version}"), s.durability(), n.id, s.expiry.Seconds()).
		Scan(&alive, &layout)
	switch {
	case err != nil:
		return
	case alive:
		n.timer.Reset(s.valid() - time.Since(begun))
	default:
		n.lose()
	}
	if layout != s.layout.Load() { // a newer gateway has changed it
		s.made.Store(false)
		s.prepared.Store(false)
	}
	_ = s.say(ctx, n) // else the next time
}

// makeSchema makes the schema, unless it is there.
func (s *Store) makeSchema(ctx context.Context) error {
	return s.once(ctx, &s.made, func(ctx context.Context) error {
		if err := s.migrate(ctx, version, migrations); err != nil {
			return err
		}
		s.inspect()
		s.made.Store(true)
		return nil
	})
}

// prepare makes the schema, and has consumers join who could not.
func (s *Store) prepare(ctx context.Context) error {
	if s.prepared.Load() {
		return nil
	}
	if err := s.makeSchema(ctx); err != nil {
		return err
	}
	return s.once(ctx, &s.prepared, s.joinWaiting)
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

// beginPreparing locks preparing. While who has it gets no answer, such as to a commit that
// waits for the standby, it fails at once.
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

// joinWaiting has consumers join who could not. The caller holds preparing.
func (s *Store) joinWaiting(ctx context.Context) error {
	s.mu.Lock()
	waiting := s.joining
	s.mu.Unlock()
	if len(waiting) > 0 {
		s.inspect() // what they wait for may be found
		// What others accept from then on is for them, too.
		if _, err := s.begin(ctx); err != nil {
			return err
		}
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
