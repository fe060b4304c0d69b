package postgres

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// backlog is how much waits for each consumer, as far as this gateway knows: what was counted,
// and what it has accepted since.
type backlog struct {
	counting sync.Mutex // held while it is counted

	mu    sync.Mutex         // guards what follows
	waits map[string]waiting // by consumer; nil: it was never counted
	added map[string]waiting // since the count under way began
	until time.Time          // then it is counted again
	ended time.Time          // when it was counted last
}

type waiting struct{ events, bytes int64 }

func (w waiting) plus(other waiting) waiting {
	return waiting{w.events + other.events, w.bytes + other.bytes}
}

// add adds what was accepted, so that limits hold until it is counted again.
func (b *backlog) add(accepted map[string]waiting) {
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
func (b *backlog) of(consumers []string) (all []waiting, old, known bool) {
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
}

// waitingFor returns how much waits for consumers, and whether that is old: then it is being
// counted, for which nothing that is accepted waits.
func (s *Store) waitingFor(ctx context.Context, consumers []string) (all []waiting, old bool, err error) {
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
	b.added = make(map[string]waiting)
	b.mu.Unlock()
	counted := make(map[string]waiting)
	rows, err := s.pool.Query(ctx, s.sql(backlogSQL))
	if err != nil {
		return err
	}
	var name string
	var w waiting
	_, err = pgx.ForEachRow(rows, []any{&name, &w.events, &w.bytes}, func() error {
		counted[name] = w
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, w := range b.added { // some of it may be counted, too: the next count corrects that
		counted[name] = counted[name].plus(w)
	}
	b.waits, b.added, b.ended = counted, nil, time.Now()
	b.until = b.ended.Add(max(s.stats, 20*b.ended.Sub(begun)))
	return nil
}

// room returns how much may be added. No limit is no limit.
func room(limit, has int64) int64 {
	if limit == 0 {
		return math.MaxInt64
	}
	return limit - has
}
