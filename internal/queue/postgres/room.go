package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// backlog is how much waits for each consumer, as far as this gateway knows: what was counted,
// and what it has accepted since.
type backlog struct {
	counting sync.Mutex // held while it is counted

	mu    sync.Mutex        // guards what follows
	waits map[string]amount // by consumer; nil: it was never counted
	added map[string]amount // since the count under way began
	until time.Time         // then it is counted again
	stale int               // raised when what was counted is no longer right
	ended time.Time         // when it was counted last
}

// amount is of events that wait.
type amount struct{ events, bytes int64 }

func (a amount) plus(other amount) amount {
	return amount{a.events + other.events, a.bytes + other.bytes}
}

// add adds what was accepted, so that limits hold until it is counted again.
func (b *backlog) add(accepted map[string]amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, w := range accepted {
		if b.waits != nil {
			b.waits[name] = b.waits[name].plus(w)
		}
		if b.added != nil {
			b.added[name] = b.added[name].plus(w)
		}
	}
}

// of returns what waits for consumers, and whether that is old.
func (b *backlog) of(consumers []string) (all []amount, old, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range consumers {
		all = append(all, b.waits[name])
	}
	return all, !time.Now().Before(b.until), b.waits != nil
}

// forget has it be counted again.
func (b *backlog) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = time.Time{}
	b.stale++
}

// backlogOf returns how much waits for consumers, and whether that is old: then it is being
// counted, for which nothing that is accepted waits, except at the first time.
func (s *Store) backlogOf(ctx context.Context, consumers []string) (all []amount, old bool, err error) {
	all, old, known := s.backlog.of(consumers)
	switch {
	case !known || s.stats == 0:
		if err := s.countBacklog(ctx); err != nil {
			return nil, false, err
		}
		all, _, _ = s.backlog.of(consumers)
		return all, false, nil
	case old && s.backlog.counting.TryLock():
		go func() {
			defer s.backlog.counting.Unlock()
			_ = s.countBacklogLocked(s.work) // else the next one does
		}()
	}
	return all, old, nil
}

// countBacklog counts what waits, unless somebody else has done so meanwhile.
func (s *Store) countBacklog(ctx context.Context) error {
	b, begun := &s.backlog, time.Now()
	b.counting.Lock()
	defer b.counting.Unlock()
	b.mu.Lock()
	counted := b.ended.After(begun)
	b.mu.Unlock()
	if counted {
		return nil
	}
	return s.countBacklogLocked(ctx)
}

// backlogSQL reads no more than what waits, by an index for each part: only what is in no
// chain is sure to be a head.
const backlogSQL = `SELECT c.name, count(*), coalesce(sum(w.size), 0) FROM {consumer} c JOIN (
	SELECT consumer, size FROM {work} WHERE state = 0 AND chain IS NOT NULL
	UNION ALL SELECT consumer, size FROM {work} WHERE state = 0 AND chain IS NULL AND head AND lease IS NULL
	UNION ALL SELECT consumer, size FROM {work} WHERE state = 0 AND chain IS NULL AND lease IS NOT NULL
	) w ON w.consumer = c.id GROUP BY c.name`

// countBacklogLocked is countBacklog for who holds counting.
func (s *Store) countBacklogLocked(ctx context.Context) error {
	b, begun := &s.backlog, time.Now()
	b.mu.Lock()
	b.added = make(map[string]amount)
	stale := b.stale
	b.mu.Unlock()
	counted := make(map[string]amount)
	rows, err := s.pool.Query(ctx, s.sql(backlogSQL))
	if err == nil {
		var name string
		var n amount
		_, err = pgx.ForEachRow(rows, []any{&name, &n.events, &n.bytes}, func() error {
			counted[name] = n
			return nil
		})
	}
	ended := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		for name, n := range b.added { // some of it may be counted, too: the next count corrects that
			counted[name] = counted[name].plus(n)
		}
		b.waits, b.ended = counted, ended
	}
	b.added = nil
	if b.stale == stale {
		b.until = ended.Add(max(s.stats, 20*ended.Sub(begun)))
	}
	return err
}

// room returns how much may be added. No limit is no limit.
func room(limit, has int64) int64 {
	if limit == 0 {
		return math.MaxInt64
	}
	return limit - has
}

// more adds what was accepted to the backlog.
func (s *Store) more(c *columns, fresh []int32) {
	isFresh := make(map[int32]bool, len(fresh))
	for _, i := range fresh {
		isFresh[i] = true
	}
	added := make(map[string]amount)
	for n, i := range c.toEvent {
		if isFresh[i] {
			name := c.names[c.toName[n]-1]
			added[name] = added[name].plus(amount{1, int64(len(c.bodies[i-1]))})
		}
	}
	s.backlog.add(added)
}

// full returns why a delivery is refused, from the error of the function.
func (c *columns) full(err error, limits *queue.Admission, has []amount) error {
	refusal := new(pgconn.PgError)
	errors.As(err, &refusal)
	var name int
	var events, bytes int64
	_, full := fmt.Sscan(refusal.Detail, &name, &events, &bytes)
	if full == nil {
		w := has[name-1]
		full = limits.Pending(c.names[name-1], w.events+events, w.bytes+bytes, w.events, w.bytes)
	}
	if full == nil {
		full = queue.ErrFull
	}
	return full
}
