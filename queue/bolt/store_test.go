package bolt

import (
	"context"
	"errors"
	"fmt"
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

func TestLifeOfAnEvent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if d := accept(t, s, record("a", "1"), record("b", "1"), record("c", "2"), record("a", "1")); fmt.Sprint(d) != "[false false false true]" {
		t.Errorf("duplicates %v", d)
	}
	if d := accept(t, s, record("c", "2")); fmt.Sprint(d) != "[true]" {
		t.Errorf("duplicates %v", d)
	}
	check(t, s)
	first := due(t, s, 10)
	if len(first) != 2 || first[0].Identity != "a" || first[1].Identity != "c" {
		t.Fatalf("leased %+v", first)
	}
	if more := due(t, s, 10); len(more) != 0 {
		t.Errorf("leased twice: %+v", more)
	}
	settle(t, s, first[0], queue.Outcome{State: queue.Delivered})
	settle(t, s, first[1], queue.Outcome{State: queue.Dead, Error: "410"})
	check(t, s)
	second := due(t, s, 10)
	if len(second) != 1 || second[0].Identity != "b" {
		t.Fatalf("leased %+v", second)
	}
	settle(t, s, second[0], queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour), Error: "500"})
	check(t, s)
	stats, err := s.Stats(ctx)
	if err != nil || stats.Pending != 1 || stats.Dead != 1 || stats.Delivered != 1 || stats.InFlight != 0 || stats.Oldest.IsZero() {
		t.Errorf("stats %+v, %v", stats, err)
	}
	if n, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, 0); n != 1 || err != nil {
		t.Errorf("requeued %d: %v", n, err)
	}
	if n, err := s.Requeue(ctx, queue.Filter{State: queue.Pending}, 0); n != 1 || err != nil {
		t.Errorf("made due %d: %v", n, err)
	}
	check(t, s)
	third := due(t, s, 10)
	if len(third) != 2 || third[0].Identity != "b" || third[0].Attempts != 1 || third[0].LastError != "500" || third[1].Identity != "c" || third[1].Lane != queue.Replayed {
		t.Fatalf("leased %+v", third)
	}
	if err := s.Discard(ctx, third[0].ID); !errors.Is(err, queue.ErrLeased) {
		t.Errorf("discarding a leased event: %v", err)
	}
	settle(t, s, third[0], queue.Outcome{Released: true})
	if err := s.Discard(ctx, third[0].ID); err != nil {
		t.Error(err)
	}
	settle(t, s, third[1], queue.Outcome{State: queue.Delivered})
	check(t, s)
	all, err := s.List(ctx, queue.Filter{Bodies: true})
	if err != nil || len(all) != 2 || all[0].Identity != "c" || string(all[0].Body) != `{"id":"c"}` {
		t.Errorf("listed %+v: %v", all, err)
	}
	for more := true; more; {
		if more, err = s.Expire(ctx, queue.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	check(t, s)
	if all, err := s.List(ctx, queue.Filter{}); err != nil || len(all) != 0 {
		t.Errorf("left %+v: %v", all, err)
	}
	if d := accept(t, s, record("a", "1")); d != nil {
		t.Errorf("forgotten, but a duplicate: %v", d)
	}
}
