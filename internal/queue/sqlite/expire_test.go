package sqlite

import (
	"fmt"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestExpireInSteps looks at what one transaction forgets: its length must not grow with the
// number of consumers, as nothing is accepted meanwhile.
func TestExpireInSteps(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var consumers []queue.Consumer
	var names []string
	for i := range 4 {
		names = append(names, fmt.Sprint(i))
		consumers = append(consumers, queue.Consumer{Name: names[i]})
	}
	if err := s.Join(ctx, consumers); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(ctx, batch("e", 2*step), queue.Admission{Consumers: names}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		deliverAll(t, s, name, 2*step)
	}
	for want := 4 * 2 * step; want > 0; {
		want -= step
		more, err := false, error(nil)
		if err := s.do(ctx, &operation{apply: func(t *txn) error {
			more, err = t.expire(queue.Retention{})
			return err
		}}); err != nil || !more {
			t.Fatalf("%v, %v", more, err)
		}
		stats, err := s.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, c := range stats {
			left += int(c.Delivered)
		}
		if left != want {
			t.Fatalf("%d are left, want %d", left, want)
		}
	}
	check(t, s)
	if events, err := s.List(ctx, queue.Filter{}); err != nil || len(events) != 0 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// deliverAll delivers as many events to a consumer, in one transaction.
func deliverAll(t testing.TB, s *Store, name string, total int) {
	t.Helper()
	if err := s.do(ctx, &operation{apply: func(t *txn) error {
		c := t.memory.consumer(name)
		events, _, err := t.lease(c, total)
		if err == nil && len(events) != total {
			err = fmt.Errorf("leased %d of %d", len(events), total)
		}
		for _, e := range events {
			if err == nil {
				err = t.settle(c, int64(e.ID), queue.Outcome{State: queue.Delivered})
			}
		}
		return err
	}}); err != nil {
		t.Fatal(err)
	}
}

// TestNothingStaysOfForgottenEvents has a consumer away, for which events stay: those that
// have forgotten them keep nothing of them.
func TestNothingStaysOfForgottenEvents(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if err := s.Join(ctx, []queue.Consumer{{Name: "away"}}); err != nil {
		t.Fatal(err)
	}
	const total = 100
	names := []string{queue.DefaultConsumer, "away"}
	if _, err := s.Accept(ctx, batch("e", total), queue.Admission{Consumers: names}); err != nil {
		t.Fatal(err)
	}
	deliverAll(t, s, queue.DefaultConsumer, total)
	if _, err := s.Expire(ctx, queue.Retention{}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.db.number(`SELECT count(*) FROM status`); err != nil || n != 0 {
		t.Errorf("%d status rows, %v", n, err)
	}
	check(t, s)
	for name, want := range map[string]int{queue.DefaultConsumer: 0, "away": total} {
		if events, err := s.List(ctx, queue.Filter{Consumer: name}); err != nil || len(events) != want {
			t.Errorf("%s has %d events, want %d: %v", name, len(events), want, err)
		}
	}
}
