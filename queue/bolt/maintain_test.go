package bolt

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestListPages lists more events than one transaction looks at: all at once, in
// pages, and such that match rarely.
func TestListPages(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const total = 2*chunk + 100
	for n := 0; n < total; n += 1000 {
		records := batch(fmt.Sprint(n), min(1000, total-n))
		for i := range records {
			records[i].Body = nil
			if (n+i)%(chunk+1) == 0 {
				records[i].Field = "messages"
			}
		}
		accept(t, s, records...)
	}
	// Half of them stand elsewhere.
	settleAll(t, s, due(t, s, total/2), queue.Outcome{State: queue.Delivered})
	list := func(f queue.Filter) (numbers []uint64) {
		t.Helper()
		events, err := s.List(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			numbers = append(numbers, e.ID)
		}
		return numbers
	}
	all := list(queue.Filter{})
	if len(all) != total {
		t.Fatalf("%d events are listed, want %d", len(all), total)
	}
	for i := range all[1:] {
		if all[i] != all[i+1]+1 {
			t.Fatalf("after %d comes %d", all[i], all[i+1])
		}
	}
	var pages []uint64
	for before := uint64(0); ; {
		page := list(queue.Filter{Before: before, Limit: 999})
		if len(page) == 0 {
			break
		}
		pages = append(pages, page...)
		before = page[len(page)-1]
	}
	if fmt.Sprint(pages) != fmt.Sprint(all) {
		t.Error("the pages differ from the whole")
	}
	oldest := list(queue.Filter{OldestFirst: true})
	if slices.Reverse(oldest); fmt.Sprint(oldest) != fmt.Sprint(all) {
		t.Error("the oldest first are others than the newest first")
	}
	if page := list(queue.Filter{OldestFirst: true, After: chunk, Before: chunk + 9, Limit: 3}); fmt.Sprint(page) != fmt.Sprint([]int{chunk + 1, chunk + 2, chunk + 3}) {
		t.Errorf("the oldest of some: %v", page)
	}
	if rare := list(queue.Filter{Field: "messages"}); fmt.Sprint(rare) != fmt.Sprint([]int{2*chunk + 3, chunk + 2, 1}) {
		t.Errorf("rare events: %v", rare)
	}
	if one := list(queue.Filter{Field: "messages", After: all[len(all)-1], Before: 2*chunk + 3}); fmt.Sprint(one) != fmt.Sprint([]int{chunk + 2}) {
		t.Errorf("the rare event in between: %v", one)
	}
	if none := list(queue.Filter{State: queue.Dead}); len(none) != 0 {
		t.Errorf("%d events are dead", len(none))
	}
}

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

// TestSteps requeues and forgets more events than one transaction does.
func TestSteps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		const total = 2*step + 10
		accept(t, s, batch("a", total)...)
		settleAll(t, s, due(t, s, total), queue.Outcome{State: queue.Dead})
		if n, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, time.Second); n != total || err != nil {
			t.Fatalf("requeued %d: %v", n, err)
		}
		check(t, s)
		for range step + 1 { // one each second
			if events := due(t, s, 9); len(events) != 1 {
				t.Errorf("%d are due, want 1", len(events))
			}
			time.Sleep(time.Second)
		}
	})
}

// TestExpireInSteps forgets many events a few at a time, each at its time.
func TestExpireInSteps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		const total = 2*step + 10
		accept(t, s, batch("a", total)...)
		settleAll(t, s, due(t, s, total), queue.Outcome{State: queue.Delivered})
		accept(t, s, batch("b", 3)...)
		settleAll(t, s, due(t, s, 3), queue.Outcome{State: queue.Dead})
		accept(t, s, batch("c", 2)...)
		retention := queue.Retention{Delivered: time.Hour, Dead: 2 * time.Hour, Dedupe: 48 * time.Hour}
		expire := func(wantMore bool, want queue.Stats) {
			t.Helper()
			more, err := s.Expire(ctx, retention)
			if err != nil || more != wantMore {
				t.Errorf("more: %t, want %t: %v", more, wantMore, err)
			}
			stats, err := s.Stats(ctx)
			stats.PendingBytes, stats.Oldest = 0, time.Time{}
			if err != nil || stats != want {
				t.Errorf("left %+v, want %+v: %v", stats, want, err)
			}
			check(t, s)
		}
		time.Sleep(time.Hour - time.Microsecond)
		expire(false, queue.Stats{Pending: 2, Dead: 3, Delivered: total})
		time.Sleep(time.Microsecond)
		expire(true, queue.Stats{Pending: 2, Dead: 3, Delivered: total - step})
		expire(true, queue.Stats{Pending: 2, Dead: 3, Delivered: total - 2*step})
		expire(false, queue.Stats{Pending: 2, Dead: 3})
		time.Sleep(time.Hour)
		expire(false, queue.Stats{Pending: 2})
	})
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
