package sqlite

import (
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestLongWayToTheNextEvent has much between two events of a consumer that is nothing to it:
// no transaction looks at all of that, and all the same the consumer finds what it has.
func TestLongWayToTheNextEvent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const far = 10 * window
	acceptOne := func(identity string) {
		t.Helper()
		s.memory.last += far // as many events are nothing to the consumer
		accept(t, s, record(identity, ""))
	}
	acceptOne("1")
	start := time.Now()
	acceptOne("2")
	first := s.memory.consumer(queue.DefaultConsumer)
	if err := s.do(ctx, &operation{apply: func(t *txn) error {
		_, _, err := t.lease(first, 1)
		return err
	}}); err != nil || first.cursor > window {
		t.Errorf("one transaction has looked at %d events, want %d at most: %v", first.cursor, window, err)
	}
	events, _, err := s.Lease(ctx, queue.DefaultConsumer, 10)
	if err != nil || len(events) != 1 || events[0].Identity != "1" {
		t.Fatalf("leased %v, %v", events, err)
	}
	settle(t, s, events[0], queue.Outcome{State: queue.Dead})
	if stats, err := statsOf(s); err != nil || stats.Oldest.Before(start) {
		t.Errorf("%+v, %v", stats, err)
	}
	if n, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for _, want := range []string{"2", "1"} { // live events before replayed ones
		if events, _, err = s.Lease(ctx, queue.DefaultConsumer, 1); err != nil || len(events) != 1 || events[0].Identity != want {
			t.Fatalf("leased %v, %v, want %s", events, err, want)
		}
		settle(t, s, events[0], queue.Outcome{State: queue.Delivered})
	}
	acceptOne("3")
	if err := s.Drop(ctx, queue.DefaultConsumer); err != nil {
		t.Fatal(err)
	}
	expireAll(t, s)
	if events, err := s.List(ctx, queue.Filter{}); err != nil || len(events) != 0 {
		t.Errorf("%d events are left, %v", len(events), err)
	}
	check(t, s)
}
