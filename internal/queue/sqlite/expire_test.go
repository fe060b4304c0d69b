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
