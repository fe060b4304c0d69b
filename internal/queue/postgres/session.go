package postgres

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// session is what the leases of a gateway are bound to. The database ends it when it has
// not heard of the gateway for the expiry; its context ends before.
type session struct {
	id      int32
	valid   *validity
	timer   *time.Timer // ends valid
	numbers atomic.Uint32
	said    atomic.Pointer[string] // what the database knows of the gateway

	mu      sync.Mutex
	unknown []int64 // leases that may have been given, but whose answers did not come
}

// validity is the context of a session. It ends by a timer, and for who asks for Err also if
// that had no chance to run yet, as in a process that was stopped for a while.
type validity struct {
	context.Context
	lose  context.CancelFunc
	until atomic.Pointer[time.Time]
}

func (v *validity) Err() error {
	if !time.Now().Before(*v.until.Load()) {
		v.lose()
	}
	return v.Context.Err()
}

// extend has the session be valid for so long since it was begun or the database was told
// that this gateway is alive.
func (n *session) extend(since time.Time, valid time.Duration) {
	until := since.Add(valid)
	n.valid.until.Store(&until)
	n.timer.Reset(time.Until(until))
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
	n.valid = new(validity)
	n.valid.Context, n.valid.lose = context.WithCancel(s.life)
	n.timer = time.AfterFunc(s.valid(), n.valid.lose)
	n.extend(begun, s.valid())
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
		n.extend(begun, s.valid())
	default:
		n.valid.lose()
	}
	if layout != s.layout.Load() { // a newer gateway has changed it
		s.schemaReady.Store(false)
		s.joined.Store(false)
	}
	_ = s.say(ctx, n) // else the next time
}
