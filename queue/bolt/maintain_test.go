package bolt

import (
	"fmt"
	"os"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// settleAll settles events, in few transactions.
func settleAll(t *testing.T, s *Store, events []*queue.Event, o queue.Outcome) {
	t.Helper()
	done := make(chan error)
	for _, e := range events {
		go func() { done <- s.Settle(ctx, e, o) }()
	}
	for range events {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompact makes the file small after a large backlog, while events are leased.
func TestCompact(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for n := range 5 {
		accept(t, s, batch(fmt.Sprint(n), 1000)...)
	}
	accept(t, s, record("held", "held"), record("after", "held"))
	all := due(t, s, 10000)
	held := all[len(all)-1]
	settleAll(t, s, all[:len(all)-1], queue.Outcome{State: queue.Delivered})
	for more := true; more; {
		var err error
		if more, err = s.Expire(ctx, queue.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	before, after, err := s.Compact(ctx)
	if err != nil || after > 256<<10 || before < 1<<20 {
		t.Errorf("compacted from %d to %d bytes: %v", before, after, err)
	}
	if info, err := os.Stat(s.path); err != nil || info.Size() != after {
		t.Errorf("the file has %v, %v", info, err)
	}
	check(t, s)
	expectDue(t, s, 9) // the lease has survived
	settle(t, s, held, queue.Outcome{State: queue.Delivered})
	expectDue(t, s, 9, "after")
	accept(t, s, record("new", ""))
	expectDue(t, s, 9, "new")
}
