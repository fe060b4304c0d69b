package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
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

// expireAll forgets all that was settled.
func expireAll(t *testing.T, s *Store) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.Expire(ctx, queue.Retention{Dedupe: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNobodyElseCanReadTheFiles also has a queue that its owner lets a group read.
func TestNobodyElseCanReadTheFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions")
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o600, 0o640} {
		if mode != 0o600 { // else as it was made
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		s := openStore(t, path)
		accept(t, s, record("a", ""))
		for _, suffix := range []string{"", walSuffix, shmSuffix} {
			if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v, want %v", suffix, info.Mode(), err, mode)
			}
		}
		for _, suffix := range []string{lockSuffix, reserveSuffix} {
			if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", suffix, info.Mode(), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
