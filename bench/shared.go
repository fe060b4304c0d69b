//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/postgres"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

// sharedTarget is a store that is measured without a server before it: in SQLite, or in a
// PostgreSQL database with a synchronous standby.
type sharedTarget struct {
	name     string
	gateways int // that share the store; 0: it is in SQLite
	waiting  int // events that wait from the start
	past     int // events that came and went while somebody holds a snapshot
}

// sharedComparison is a table of stores.
type sharedComparison struct {
	name, about string
	targets     []sharedTarget
	callers     int
	events      int // a delivery; 0: they are leased and settled, not accepted
	special     bool
	rounds      int // at most; 0: the usual
}

var gatewayCounts = []sharedTarget{{name: "sqlite"}, {name: "shared-1", gateways: 1}, {name: "shared-2", gateways: 2}, {name: "shared-3", gateways: 3}}

var sharedComparisons = []sharedComparison{
	{name: "shared-accept", about: "stores accept deliveries of one event", targets: gatewayCounts, callers: 64, events: 1},
	{name: "shared-batches", about: "stores accept deliveries of 1000 events", targets: gatewayCounts, callers: 4, events: batch},
	{name: "shared-deliver", about: "events are leased and settled", targets: gatewayCounts, callers: 64},
	{
		name: "shared-snapshot", about: "events are leased and settled, after many came and went while somebody holds a snapshot",
		targets: []sharedTarget{{name: "shared-1", gateways: 1}, {name: "snapshot", gateways: 1, past: 2 * drainEvents}},
		callers: 64, special: true, rounds: 1,
	},
	{
		name: "shared-million", about: "stores accept deliveries of one event, with a million that wait",
		targets: []sharedTarget{{name: "shared-1", gateways: 1}, {name: "million", gateways: 1, waiting: pendingEvents}},
		callers: 64, events: 1, special: true, rounds: 1,
	},
	{
		name: "shared-million-deliver", about: "events are leased and settled, with a million that wait",
		targets: []sharedTarget{{name: "shared-1", gateways: 1}, {name: "million", gateways: 1, waiting: pendingEvents}},
		callers: 64, special: true, rounds: 1,
	},
}

// sharedUsual returns the names of those that are run by the name shared.
func sharedUsual() (names []string) {
	for _, c := range sharedComparisons {
		if !c.special {
			names = append(names, c.name)
		}
	}
	return names
}

// shared measures stores, whose callers are in this process.
func (b *bench) shared(c sharedComparison) (*table, error) {
	fmt.Printf("\n%s: %s, %d callers\n", c.name, c.about, c.callers)
	cluster, err := pgtest.NewCluster(2, "max_wal_size=8GB", "shared_buffers=512MB")
	if err != nil {
		return nil, err
	}
	defer cluster.Stop()
	if err := cluster.Init(); err != nil {
		return nil, err
	}
	if b.targets != nil {
		c.targets = slices.DeleteFunc(slices.Clone(c.targets), func(t sharedTarget) bool { return !slices.Contains(b.targets, t.name) })
	}
	var columns []string
	for _, t := range c.targets {
		columns = append(columns, t.name)
	}
	return b.limited(c.rounds).interleave(c.name, columns, func(i, round int) (f figures, err error) {
		s := &sharedStore{cluster: cluster, target: c.targets[i], schema: fmt.Sprintf("%s-%s-%d", c.name, c.targets[i].name, round)}
		defer func() { err = errors.Join(err, s.close()) }()
		if err := s.open(filepath.Join(b.dir, s.schema+".db")); err != nil {
			return f, err
		}
		if c.events == 0 {
			return s.deliver(c.callers)
		}
		return s.accept(c, b.warmup, b.window)
	})
}

// sharedStore is a store, opened once by each gateway.
type sharedStore struct {
	cluster  *pgtest.Cluster
	target   sharedTarget
	schema   string
	gateways []queue.Store
	snapshot *pgx.Conn // nil: nobody holds one
	numbers  atomic.Int64
	now      queue.Admission
}

func (s *sharedStore) open(file string) error {
	for range max(1, s.target.gateways) {
		var g queue.Store
		var err error
		if s.target.gateways == 0 {
			g, err = sqlite.Open(file, zap.NewNop)
		} else {
			g, err = postgres.Open(postgres.Options{DSN: s.cluster.DSN(), Schema: s.schema}, zap.NewNop)
		}
		if err != nil {
			return err
		}
		s.gateways = append(s.gateways, g)
		if err := g.Join(context.Background(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
			return err
		}
	}
	s.now = queue.Admission{Dedupe: 48 * time.Hour}
	if sharer, ok := s.gateways[0].(queue.Sharer); ok {
		_, generation, err := sharer.Gateways(context.Background())
		if err != nil {
			return err
		}
		s.now.Generation = generation
	}
	if s.target.past > 0 {
		if err := s.hold(); err != nil {
			return err
		}
	}
	return s.fill(s.target.waiting)
}

// hold has somebody hold a snapshot, while events come and go.
func (s *sharedStore) hold() (err error) {
	if s.snapshot, err = pgx.Connect(context.Background(), s.cluster.Primary.DSN); err != nil {
		return err
	}
	if _, err := s.snapshot.Exec(context.Background(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"); err != nil {
		return err
	}
	if err := s.fill(s.target.past); err != nil {
		return err
	}
	if err := s.drain(s.target.past, 64); err != nil {
		return err
	}
	for more := true; more && err == nil; {
		more, err = s.gateways[0].Expire(context.Background(), queue.Retention{Dedupe: time.Hour})
	}
	return err
}

func (s *sharedStore) close() (err error) {
	for _, g := range s.gateways {
		err = errors.Join(err, g.Close())
	}
	if s.snapshot != nil {
		err = errors.Join(err, s.snapshot.Close(context.Background()))
	}
	if s.target.gateways == 0 {
		return err
	}
	return errors.Join(err, s.cluster.Primary.Execute("DROP SCHEMA "+pgx.Identifier{s.schema}.Sanitize()+" CASCADE"))
}

// records returns a delivery of further events, of which each conversation has few.
func (s *sharedStore) records(events int) []queue.Record {
	all := make([]queue.Record, events)
	for i := range all {
		n := s.numbers.Add(1)
		all[i] = queue.Record{
			Identity: fmt.Sprint("event ", n), Conversation: fmt.Sprint("conversation ", n%10_000), Account: "17841400000000001",
			Field: "messages", URL: callback.String(), Origin: "192.0.2.1:4711", Secret: "instagram", Body: make([]byte, 600),
		}
	}
	return all
}

// fill puts so many events into the store.
func (s *sharedStore) fill(events int) error {
	for ; events > 0; events -= batch {
		if _, err := s.gateways[0].Accept(context.Background(), s.records(min(batch, events)), s.now); err != nil {
			return err
		}
	}
	return nil
}

// mark is what the servers of the database, and this process, have used until now.
func (s *sharedStore) mark() (mark, error) {
	m := mark{at: time.Now(), own: own(), machine: machine()}
	if s.target.gateways == 0 {
		return m, nil
	}
	for _, server := range s.cluster.Servers {
		u, err := usageOfFamily(server.Pid())
		if err != nil {
			return m, err
		}
		m.usage.cpu += u.cpu
		m.usage.resident += u.resident
	}
	return m, nil
}

// accept measures how callers have deliveries accepted, which are divided among the gateways.
func (s *sharedStore) accept(c sharedComparison, warmup, window time.Duration) (f figures, err error) {
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	var callers sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for i := range c.callers {
		callers.Go(func() {
			for ctx.Err() == nil {
				records, begun := s.records(c.events), time.Now()
				if _, err := s.gateways[i%len(s.gateways)].Accept(context.Background(), records, s.now); err != nil {
					end(err)
				}
				mu.Lock()
				took = append(took, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	count := func(after time.Duration) (mark, int, error) {
		select {
		case <-time.After(after):
		case <-ctx.Done():
		}
		mu.Lock()
		defer mu.Unlock()
		m, err := s.mark()
		return m, len(took), err
	}
	from, first, err1 := count(warmup)
	to, last, err2 := count(window)
	end(nil)
	callers.Wait()
	if err := errors.Join(err1, err2); err != nil {
		return f, err
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return f, err
	}
	f = between(from, to, last-first, (last-first)*c.events, 0)
	o := outcome{latencies: slices.Sorted(slices.Values(took[first:last]))}
	f.p50, f.p99 = milliseconds(o.quantile(0.5)), milliseconds(o.quantile(0.99))
	stats, err := s.gateways[0].Stats(context.Background())
	f.lost = float64(s.numbers.Load() - int64(s.target.past) - queue.StatsOf(stats, queue.DefaultConsumer).Pending)
	return f, err
}

// deliver measures how events are leased and settled.
func (s *sharedStore) deliver(callers int) (f figures, err error) {
	if err := s.fill(drainEvents / 2); err != nil {
		return f, err
	}
	from, err := s.mark()
	if err != nil {
		return f, err
	}
	if err := s.drain(drainEvents/2, callers); err != nil {
		return f, err
	}
	to, err := s.mark()
	return between(from, to, drainEvents/2, drainEvents/2, 0), err
}

// drain leases and settles so many events, by so many callers at a time for each gateway.
func (s *sharedStore) drain(events, callers int) error {
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	var rest atomic.Int64
	rest.Store(int64(events))
	var all sync.WaitGroup
	for _, g := range s.gateways {
		all.Go(func() {
			for rest.Load() > 0 {
				leased, _, err := g.Lease(ctx, queue.DefaultConsumer, callers)
				if err != nil {
					end(err)
					return
				}
				var settled sync.WaitGroup
				for _, e := range leased {
					settled.Go(func() {
						if err := g.Settle(context.Background(), e, queue.Outcome{State: queue.Delivered}); err != nil {
							end(err)
						}
						if rest.Add(-1) == 0 {
							end(nil)
						}
					})
				}
				settled.Wait()
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
