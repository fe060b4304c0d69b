// Package postgres keeps a queue in a PostgreSQL database that several gateways share.
// schema.sql says what is in it, and functions.sql has a function for each thing that is done.
//
// To read the package, begin with these, then go on with postgres.go (how a call is made),
// session.go (whose leases are valid), accept.go, lease.go and list.go.
package postgres

import (
	"context"
	_ "embed"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/commit"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

//go:embed schema.sql
var schema string

//go:embed functions.sql
var functions string

// version is that of the schema.
const version = 4

// migrations bring the tables from one version to the next: the first one from version 1 to
// 2. The functions are written again after them. Older gateways go on meanwhile, unless
// oldest is set.
var migrations = []string{
	"CREATE TABLE generation (number bigint NOT NULL); INSERT INTO generation VALUES (1);",
	"ALTER TABLE event ADD erased bigint, ADD because text;" +
		"CREATE TABLE message (event bigint PRIMARY KEY, key uuid NOT NULL); CREATE INDEX message_key ON message (key);",
	"", // functions only
}

// Options are where a queue is, and how durable.
type Options struct {
	DSN    string
	Schema string

	// Local takes an event for stored when it is on the disk of one server. Otherwise it
	// must be on that of a synchronous standby, too.
	Local bool

	timing
}

// timing is how long a Store waits for what. Tests change it.
type timing struct {
	pollMin, pollMax time.Duration // between questions for what others have made due
	beat, expiry     time.Duration // of the session; expiry is on the clock of the database
	connect          time.Duration // until the next server is tried
	check            time.Duration // between looks at the settings of the database
	health           time.Duration // between looks at the connections that are idle
	stats            time.Duration // how long they may be old; 0: they are always counted
	unsafe           bool          // fsync may be off
}

var defaultTiming = timing{
	pollMin: 5 * time.Millisecond, pollMax: 250 * time.Millisecond,
	beat: 2 * time.Second, expiry: 10 * time.Second, connect: 2 * time.Second,
	check: time.Minute, health: time.Minute, stats: time.Second,
}

// patience is how long a delivery waits for the database: Meta waits for five seconds.
const patience = 4 * time.Second

// Store is a queue that several gateways share. It implements queue.Store.
//
// What is written is written with a context of the Store, by a goroutine that the caller
// waits for: were it the caller's context, its end would cancel the wait for the standby,
// and the duplicate of an event that only the primary has would be acknowledged.
type Store struct {
	Options
	logger  func() *zap.Logger
	pool    *pgxpool.Pool
	accepts *commit.Group[*acceptance]
	settles *commit.Group[*settlement]

	life    context.Context // ends with Close
	end     context.CancelFunc
	work    context.Context // ends a little later
	endWork context.CancelFunc

	opened   time.Time
	unsound  atomic.Pointer[unsound] // why nothing is accepted
	unseen   sync.Once               // it was said that the state of standbys cannot be seen
	warnings atomic.Int64            // of the database
	progress progress                // of accepts

	schemaReady atomic.Bool
	joined      atomic.Bool  // the schema is there, and consumers that could not join have joined
	layout      atomic.Int64 // version of the schema
	preparing   sync.Mutex   // held to prepare the database and to begin a session
	holding     progress     // of whoever holds preparing
	failed      error        // the last preparation
	failedAt    time.Time

	countingStats sync.Mutex // held while statistics are counted
	backlog       backlog

	differences string // between gateways, that compare has logged

	mu      sync.Mutex       // guards what follows
	joining []queue.Consumer // that join once the database can be used
	about   string           // what this gateway says of itself
	session *session         // nil: none, or lost
	leases  map[*queue.Event]held
	wake    chan struct{} // closed when something may have become due
	turns   map[string]*turn
	counted counted
}

// Open opens the queue. It succeeds while the database is away: then every call fails
// until it is there. Each time it has something to log, it asks logger where to.
func Open(o Options, logger func() *zap.Logger) (*Store, error) {
	if o.timing == (timing{}) {
		o.timing = defaultTiming
	}
	s := &Store{
		Options: o, logger: logger, opened: time.Now(),
		leases: make(map[*queue.Event]held), wake: make(chan struct{}), turns: make(map[string]*turn),
	}
	s.about = s.describe(nil, nil)
	var err error
	if s.pool, err = s.connect(); err != nil {
		return nil, err
	}
	s.accepts, s.settles = commit.NewConcurrentGroup(acceptsAtOnce, s.acceptAll), commit.NewGroup(s.settleAll)
	s.life, s.end = context.WithCancel(context.Background())
	s.work, s.endWork = context.WithCancel(context.Background())
	first, cancel := context.WithTimeoutCause(s.life, patience, errPatience)
	defer cancel()
	_, err = call(first, s, nil, s.currentSession)
	if errors.Is(err, queue.ErrVersion) {
		return nil, errors.Join(err, s.Close())
	}
	if err != nil {
		logger().Error("the database of the queue cannot be used yet: deliveries are refused until it can", zap.Error(err))
	}
	go s.repeat(s.beat, s.keep)
	go s.repeat(s.check, s.inspect)
	go s.repeat(s.check, s.compare)
	go s.repeat(s.pollMax, s.inspectAgain)
	return s, nil
}

// Close implements queue.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.life.Err() != nil
	s.end()
	session := s.session
	s.mu.Unlock()
	if closed {
		return nil
	}
	if session != nil {
		session.valid.lose()
		ctx, cancel := context.WithTimeout(s.work, 2*time.Second)
		defer cancel()
		_, err := s.pool.Exec(ctx, s.sql("SELECT {leave}($1, $2)"), s.durability(), []int32{session.id})
		if err != nil { // then it expires
			s.logger().Warn("what was leased is free a little later", zap.Error(sanitize(err)))
		}
	}
	s.endWork()
	s.pool.Close()
	return nil
}

// call has do done with a context of the Store, and waits for it. The result of what
// nobody waits for any more goes to abandoned, if there is one.
func call[T any](ctx context.Context, s *Store, abandoned func(T), do func(context.Context) (T, error)) (value T, err error) {
	if s.life.Err() != nil {
		return value, queue.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return value, err
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := retry(s.work, do)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && s.life.Err() != nil {
			r.err = queue.ErrClosed
		}
		return r.value, sanitize(r.err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.life.Done():
		err = queue.ErrClosed
	}
	if abandoned != nil {
		go func() {
			if r := <-done; r.err == nil {
				abandoned(r.value)
			}
		}()
	}
	return value, err
}

// read is call for what only reads: while consumers wait for the standby to join, it does not.
func read[T any](ctx context.Context, s *Store, do func(context.Context) (T, error)) (T, error) {
	return call(ctx, s, nil, func(work context.Context) (value T, err error) {
		if err := s.makeSchema(work); err != nil {
			return value, err
		}
		return do(work)
	})
}

// prepared is call for what needs the schema and all consumers, and no session.
func prepared[T any](ctx context.Context, s *Store, do func(context.Context) (T, error)) (T, error) {
	return call(ctx, s, nil, func(work context.Context) (value T, err error) {
		if err := s.prepare(work); err != nil {
			return value, err
		}
		return do(work)
	})
}

// number calls a function of the database that returns one value.
func number[T any](ctx context.Context, s *Store, sql string, args ...any) (T, error) {
	return prepared(ctx, s, func(work context.Context) (value T, err error) {
		err = s.pool.QueryRow(work, s.sql(sql), args...).Scan(&value)
		return value, err
	})
}

// durability is the value of synchronous_commit.
func (s *Store) durability() string {
	if s.Local {
		return "local"
	}
	return "on"
}

// changed has statistics be counted again, and wakes who waits for events: any may be free.
func (s *Store) changed() {
	s.recount()
	s.lower(0)
}

// Interface guards
var (
	_ queue.Store  = (*Store)(nil)
	_ queue.Sharer = (*Store)(nil)
)
