package postgres

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// unsound is a setting of the database with which nothing is accepted.
type unsound string

func (u unsound) Error() string { return "the database could lose what it has accepted: " + string(u) }

// noStandbys is looked for by each acceptance, too: a standby that has taken over may not have
// that setting.
const noStandbys unsound = "synchronous_standby_names is empty: name a standby there, or say 'durable local' if the disk of one server is enough"

// What the user of the dsn has by default is what connections have that a pooler shares.
const settings = `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_standby_names'),
	(SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation'),
	(SELECT reset_val IN ('error', 'fatal', 'panic') FROM pg_settings WHERE name = 'client_min_messages'),
	pg_is_in_recovery(), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'),
	count(*) FILTER (WHERE sync_state IS NULL) FROM pg_stat_replication`

// inspectAgain inspects while nothing is accepted, or what is takes long.
func (s *Store) inspectAgain() {
	if s.unsound.Load() != nil || s.progress.stuck(time.Second) {
		s.inspect()
	}
}

// progress is that of things some of which may be under way at the same time.
type progress struct {
	mu       sync.Mutex
	underWay int
	last     time.Time // when one ended, or began while none was under way
}

func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.underWay++; p.underWay == 1 {
		p.last = time.Now()
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.underWay, p.last = p.underWay-1, time.Now()
}

// stuck reports whether some are under way, and none has ended for so long.
func (p *progress) stuck(while time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.underWay > 0 && time.Since(p.last) > while
}

// inspect finds out whether the database can be trusted.
func (s *Store) inspect() {
	ctx, cancel := context.WithTimeout(s.work, patience)
	defer cancel()
	var fsync, fullPages, standbys, isolation string
	var silent, recovering bool
	var streaming, hidden int // of the latter the user may not see the state
	err := s.pool.QueryRow(ctx, settings).Scan(&fsync, &fullPages, &standbys, &isolation, &silent, &recovering, &streaming, &hidden)
	if err != nil {
		return // the next call finds out
	}
	var found unsound
	switch {
	case recovering:
		found = "it is a standby: let the dsn end with target_session_attrs=read-write"
	case fsync != "on" && !s.unsafe:
		found = "fsync is off"
	case fullPages != "on" && !s.unsafe:
		found = "full_page_writes is off"
	case isolation != "read committed": // the functions could not see what others commit while they wait
		found = "the default_transaction_isolation of its user must be 'read committed'"
	case silent: // see OnNotice
		found = "the client_min_messages of its user hides warnings"
	case s.Local:
	case standbys == "":
		found = noStandbys
	case streaming+hidden == 0:
		found = "no synchronous standby is connected"
	}
	if !s.Local && hidden > 0 {
		s.unseen.Do(func() {
			s.logger().Warn("the user of the dsn may not see which standbys are synchronous: make it a member of pg_monitor")
		})
	}
	s.judge(found)
}

// judge takes note of what was found. Nothing is found if the database can be trusted.
func (s *Store) judge(found unsound) {
	before := s.unsound.Load()
	switch {
	case found == "" && before != nil:
		s.unsound.Store(nil)
		s.logger().Info("the database can be trusted again")
	case found != "" && (before == nil || *before != found):
		s.unsound.Store(&found)
		s.logger().Error("deliveries are refused", zap.Error(found))
	}
}
