package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

var ctx = context.Background()

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Join(ctx, []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newStore(t testing.TB) *Store { return openStore(t, filepath.Join(t.TempDir(), "queue.db")) }

func record(identity, order string) queue.Record {
	return queue.Record{
		Identity: identity, Conversation: order, Account: "17841400000000001", Field: "comments",
		URL: "https://hooks.example.com/webhooks", Origin: "10.0.0.5:4711?trusted=1", Secret: "instagram", Signature: [32]byte{1, 2, 3},
		Body: []byte(`{"id":"` + identity + `"}`),
	}
}

func accept(t testing.TB, s *Store, records ...queue.Record) []bool {
	t.Helper()
	duplicates, err := s.Accept(ctx, records, queue.Admission{Dedupe: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return duplicates
}

// due leases what is due now.
func due(t testing.TB, s *Store, limit int) (events []*queue.Event) {
	t.Helper()
	for next := time.Now(); len(events) == 0 && !next.IsZero() && !next.After(time.Now()); {
		if err := s.do(ctx, &operation{apply: func(t *txn) (err error) {
			events, next, err = t.lease(t.memory.consumer(queue.DefaultConsumer), limit)
			return err
		}}); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

func settle(t testing.TB, s *Store, e *queue.Event, o queue.Outcome) {
	t.Helper()
	if err := s.Settle(ctx, e, o); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
}

// statsOf returns those of the default consumer.
func statsOf(s *Store) (queue.Stats, error) {
	stats, err := s.Stats(ctx)
	return queue.StatsOf(stats, queue.DefaultConsumer), err
}
