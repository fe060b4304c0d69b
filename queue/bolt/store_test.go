package bolt

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

var ctx = context.Background()

// open is Open while no process is started: for a moment it would share the lock
// of a file that is closed. In a bubble no wait for its end is long enough.
func open(path string) (*Store, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return Open(path, zap.NewNop)
}

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := open(path)
	if err != nil {
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
		Identity: identity, Order: order, Account: "17841400000000001", Field: "comments",
		URL: "https://hooks.example.com/webhooks", Origin: "10.0.0.5:4711?trusted=1", Secret: "instagram", Signature: [32]byte{1, 2, 3},
		Body: []byte(`{"id":"` + identity + `"}`),
	}
}

// thick returns an event that fills a disk fast.
func thick(identity string) queue.Record {
	r := record(identity, identity)
	r.Body = append(r.Body, make([]byte, 20000)...)
	return r
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
func due(t testing.TB, s *Store, limit int) []*queue.Event {
	t.Helper()
	events, _, err := s.lease(limit)
	if err != nil {
		t.Fatal(err)
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
