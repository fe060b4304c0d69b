package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// newBenchmark opens a new queue with the timing of users. Its server does not sync.
func newBenchmark(b *testing.B) *Store {
	s, err := Open(newShared(b, 10*time.Second), nop)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Join(b.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		b.Fatal(err)
	}
	return s
}

// newReplicated opens a new queue as users have it, with a synchronous standby.
func newReplicated(b *testing.B) *Store {
	cluster, err := pgtest.NewCluster(2, "max_wal_size=4GB")
	pgtest.Need(b, err)
	b.Cleanup(cluster.Stop)
	if err := cluster.Init(); err != nil {
		b.Fatal(err)
	}
	s, err := Open(Options{DSN: cluster.DSN(), Schema: "instagram"}, nop)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Join(b.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		b.Fatal(err)
	}
	return s
}

func benchmarkRecord(n int64) queue.Record {
	return queue.Record{
		Identity: fmt.Sprint("event ", n), Conversation: fmt.Sprint("conversation ", n%10_000), Account: "17841400000000001",
		Field: "messages", URL: "https://hooks.example.com/webhooks", Origin: "10.0.0.5:4711", Secret: "instagram", Body: make([]byte, 600),
	}
}

// acceptMany has 64 callers accept n deliveries of one event.
func acceptMany(b *testing.B, s *Store, n int64) {
	_, generation, err := s.Gateways(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var number atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := number.Add(1); i <= n; i = number.Add(1) {
				_, err := s.Accept(b.Context(), []queue.Record{benchmarkRecord(i)}, queue.Admission{Dedupe: time.Hour, Generation: generation})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkAccept(b *testing.B) {
	s := newBenchmark(b)
	b.ResetTimer()
	acceptMany(b, s, int64(b.N))
}

// BenchmarkAcceptReplicated waits for the standby, and for who may have joined.
func BenchmarkAcceptReplicated(b *testing.B) {
	s := newReplicated(b)
	b.ResetTimer()
	acceptMany(b, s, int64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
}

// BenchmarkDeliver leases and settles, 64 at a time.
func BenchmarkDeliver(b *testing.B) {
	s := newBenchmark(b)
	acceptMany(b, s, int64(b.N))
	b.ResetTimer()
	deliverMany(b, s, b.N)
}

// BenchmarkDeliverDuringDump does so while somebody holds a snapshot, as a dump does: what the
// database cannot clean up is in the way.
func BenchmarkDeliverDuringDump(b *testing.B) {
	s := newBenchmark(b)
	acceptMany(b, s, int64(b.N))
	conn, err := pgx.Connect(b.Context(), server.DSN)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	deliverMany(b, s, b.N)
}

func deliverMany(b *testing.B, s *Store, n int) {
	for n > 0 {
		events, _, err := s.Lease(b.Context(), queue.DefaultConsumer, 64)
		if err != nil {
			b.Fatal(err)
		}
		n -= len(events)
		var all sync.WaitGroup
		for _, e := range events {
			all.Go(func() {
				if err := s.Settle(b.Context(), e, queue.Outcome{State: queue.Delivered}); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// BenchmarkSize measures what docs/several-machines.md says of disks: how large an event is in
// the tables and indexes, and how much is logged to accept and to deliver it.
func BenchmarkSize(b *testing.B) {
	own, err := pgtest.Start("fsync=off", "wal_compression=lz4", "max_wal_size=8GB")
	pgtest.Need(b, err)
	b.Cleanup(own.Stop)
	o := newShared(b, 10*time.Second)
	o.DSN = own.DSN
	s, err := Open(o, nop)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Join(b.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		b.Fatal(err)
	}
	ask := func(sql string, args ...any) (n float64) {
		if err := s.pool.QueryRow(b.Context(), s.sql(sql), args...).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	const logged = "SELECT (pg_current_wal_lsn() - '0/0')::float8"
	const tables = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::float8 FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace AND relname = ANY($2)"
	name := pgx.Identifier{o.Schema}.Sanitize()
	events, identities := []string{"event", "work", "chain"}, []string{"identity"}
	size, before := ask(tables, name, events), ask(logged)
	acceptMany(b, s, int64(b.N))
	n := float64(b.N)
	b.ReportMetric((ask(tables, name, events)-size)/n, "B-waiting/event")
	b.ReportMetric(ask(tables, name, identities)/n, "B-identity/event")
	b.ReportMetric((ask(logged)-before)/n, "B-WAL-accept/event")
	before = ask(logged)
	deliverMany(b, s, b.N)
	b.ReportMetric((ask(tables, name, events)-size)/n, "B-delivered/event")
	b.ReportMetric((ask(logged)-before)/n, "B-WAL-deliver/event")
}
