package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// breakIndex has each access to the index of the write-ahead log fail.
func breakIndex(t *testing.T, s *Store) {
	t.Helper()
	s.faulted = time.Time{} // long ago
	if err := os.Truncate(s.path+"-shm", 0); err != nil {
		t.Fatal(err)
	}
}

// TestFaultOfTheIndex has what is mapped into memory fail at times. No call panics, the next one
// finds all as it was, and what was leased still is.
func TestFaultOfTheIndex(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for n := range 20 {
		accept(t, s, record(fmt.Sprint(n), fmt.Sprint(n%5)))
	}
	leased := due(t, s, 4)
	if err := s.Settle(ctx, leased[3], queue.Outcome{Released: true}); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"accept": func() error {
			_, err := s.Accept(ctx, []queue.Record{record("late", "")}, queue.Admission{Dedupe: time.Hour})
			return err
		},
		"settle": func() error { return s.Settle(ctx, leased[0], queue.Outcome{State: queue.Delivered}) },
		"expire": func() error { _, err := s.Expire(ctx, queue.Retention{}); return err },
		"pause":  func() error { return s.Pause(ctx, queue.DefaultConsumer, true) },
	}
	for name, call := range calls {
		breakIndex(t, s)
		if err := call(); !errors.As(err, new(*fault)) {
			t.Errorf("%s: got %v, want a fault", name, err)
		}
		if stats, err := statsOf(s); err != nil || stats.Pending != 20 || stats.InFlight != 3 || stats.Paused {
			t.Errorf("after %s: %+v, %v", name, stats, err)
		}
		check(t, s)
	}
	for _, e := range leased[:3] {
		settle(t, s, e, queue.Outcome{State: queue.Delivered})
	}
	total := 3
	for events := due(t, s, 9); len(events) > 0; events = due(t, s, 9) {
		for _, e := range events {
			settle(t, s, e, queue.Outcome{State: queue.Delivered})
			total++
		}
	}
	if total != 20 {
		t.Errorf("%d events were delivered, want 20", total)
	}
	check(t, s)
}

// TestFaultOfACommit has a commit fail when it is in the write-ahead log already. What it
// has settled is not leased any more, as it would be settled twice.
func TestFaultOfACommit(b *testing.T) {
	b.Parallel()
	s := newStore(b)
	accept(b, s, record("a", ""), record("b", ""), record("c", ""))
	leased := due(b, s, 2)
	err := s.do(ctx, &operation{apply: func(t *txn) error {
		c := t.memory.consumer(queue.DefaultConsumer)
		if err := t.settle(c, int64(leased[0].ID), queue.Outcome{State: queue.Delivered}); err != nil {
			return err
		}
		if err := t.commit(); err != nil {
			return err
		}
		breakIndex(b, t.Store)
		_, err := t.db.number(`SELECT count(*) FROM event`)
		return err
	}})
	if !errors.As(err, new(*fault)) {
		b.Errorf("got %v, want a fault", err)
	}
	if err := s.Settle(ctx, leased[0], queue.Outcome{State: queue.Delivered}); !errors.Is(err, queue.ErrNotFound) {
		b.Errorf("settled twice: %v", err)
	}
	settle(b, s, leased[1], queue.Outcome{State: queue.Delivered})
	if stats, err := statsOf(s); err != nil || stats.Pending != 1 || stats.InFlight != 0 || stats.Delivered != 2 {
		b.Errorf("%+v, %v", stats, err)
	}
	check(b, s)
}

// TestFaultInACommit has a commit fail after it was written to the log, as on a full btrfs.
// What was accepted before it, and after it, survives a crash.
func TestFaultInACommit(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const each = 20
	for n := range each {
		accept(t, s, record(fmt.Sprint("before", n), ""))
	}
	if err := s.do(ctx, &operation{apply: func(txn *txn) error {
		err := txn.change(`UPDATE event SET accepted = accepted + 1`)
		breakIndex(t, s)
		return err
	}}); !errors.As(err, new(*fault)) {
		t.Errorf("got %v, want a fault", err)
	}
	for n := range each {
		accept(t, s, record(fmt.Sprint("after", n), ""))
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	for _, suffix := range []string{"", walSuffix} {
		if err := copyFile(s.path+suffix, path+suffix); err != nil {
			t.Fatal(err)
		}
	}
	crashed := openStore(t, path)
	if stats, err := statsOf(crashed); err != nil || stats.Pending != 2*each {
		t.Errorf("%+v, %v", stats, err)
	}
	check(t, crashed)
}
