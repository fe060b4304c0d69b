package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// bubble runs a test with a clock of its own, and a store in it.
func bubble(t *testing.T, test func(*testing.T, *Store)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Check(ctx); err != nil && !errors.Is(err, queue.ErrClosed) {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, s)
	})
}

// identities returns those of events.
func identities(events []*queue.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Identity)
	}
	return all
}

func expectDue(t *testing.T, s *Store, limit int, want ...string) []*queue.Event {
	t.Helper()
	events := due(t, s, limit)
	if fmt.Sprint(identities(events)) != fmt.Sprint(want) {
		t.Fatalf("leased %q, want %q", identities(events), want)
	}
	return events
}

// TestOneOfAnOrderAcrossLanes leases live events while one with the same order is
// replayed, and the other way round.
func TestOneOfAnOrderAcrossLanes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		accept(t, s, record("a", "1"))
		settle(t, s, expectDue(t, s, 9, "a")[0], queue.Outcome{State: queue.Dead})
		accept(t, s, record("b", "1"))
		if n, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, 0); n != 1 || err != nil {
			t.Fatalf("requeued %d: %v", n, err)
		}
		live := expectDue(t, s, 9, "b")[0]
		settle(t, s, live, queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Minute)})
		replayed := expectDue(t, s, 9, "a")[0]
		time.Sleep(time.Minute)
		expectDue(t, s, 9)
		accept(t, s, record("c", "2"))
		expectDue(t, s, 9, "c")
		settle(t, s, replayed, queue.Outcome{Released: true})
		expectDue(t, s, 1, "b")
		expectDue(t, s, 1)
	})
}

// TestLeaseWakes waits for events in all the ways that they become due.
func TestLeaseWakes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		start := time.Now()
		leased := make(chan *queue.Event)
		wait := func() {
			go func() {
				events, err := s.Lease(ctx, 1)
				if err != nil || len(events) != 1 {
					t.Errorf("leased %q: %v", identities(events), err)
					close(leased)
					return
				}
				leased <- events[0]
			}()
			synctest.Wait()
		}
		expect := func(identity string, after time.Duration) *queue.Event {
			t.Helper()
			e := <-leased
			if e.Identity != identity || time.Since(start) != after {
				t.Fatalf("leased %q after %s, want %q after %s", e.Identity, time.Since(start), identity, after)
			}
			return e
		}
		wait()
		time.Sleep(90 * time.Minute)
		accept(t, s, record("a", "1"), record("b", "1"))
		a := expect("a", 90*time.Minute)

		wait() // for the one before
		time.Sleep(time.Minute)
		settle(t, s, a, queue.Outcome{State: queue.Delivered})
		b := expect("b", 91*time.Minute)

		wait() // for the attempt to be given back
		settle(t, s, b, queue.Outcome{Released: true})
		b = expect("b", 91*time.Minute)

		wait() // for the time of the next attempt
		settle(t, s, b, queue.Outcome{State: queue.Pending, Due: time.Now().Add(36*time.Hour + time.Millisecond)})
		b = expect("b", 91*time.Minute+36*time.Hour+time.Millisecond)

		settle(t, s, b, queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour)})
		wait() // for the order to try now
		if n, err := s.Requeue(ctx, queue.Filter{ID: b.ID}, time.Minute); n != 1 || err != nil {
			t.Fatalf("requeued %d: %v", n, err)
		}
		b = expect("b", 91*time.Minute+36*time.Hour+time.Millisecond)

		accept(t, s, record("c", "1"))
		settle(t, s, b, queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour)})
		wait() // for the one before to be discarded
		if err := s.Discard(ctx, b.ID); err != nil {
			t.Fatal(err)
		}
		c := expect("c", 91*time.Minute+36*time.Hour+time.Millisecond)

		settle(t, s, c, queue.Outcome{State: queue.Dead})
		wait() // for a dead letter to be requeued
		if n, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, time.Minute); n != 1 || err != nil {
			t.Fatalf("requeued %d: %v", n, err)
		}
		c = expect("c", 91*time.Minute+36*time.Hour+time.Millisecond)

		accept(t, s, record("d", "1"))
		wait() // for the one in the other lane
		settle(t, s, c, queue.Outcome{State: queue.Delivered})
		expect("d", 91*time.Minute+36*time.Hour+time.Millisecond)
	})
}

// TestLeaseWaitsForTwo has two that wait, and one event at a time.
func TestLeaseWaitsForTwo(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		leased := make(chan string, 2)
		for range 2 {
			go func() {
				events, err := s.Lease(ctx, 5)
				if err != nil {
					t.Error(err)
				}
				leased <- fmt.Sprint(identities(events))
			}()
		}
		synctest.Wait()
		accept(t, s, record("a", "1"))
		synctest.Wait()
		if got := <-leased; got != "[a]" || len(leased) != 0 {
			t.Errorf("leased %s and %d more", got, len(leased))
		}
		accept(t, s, record("b", "2"))
		if got := <-leased; got != "[b]" {
			t.Errorf("leased %s", got)
		}
	})
}

// TestLeaseEnds ends leases that wait: by their context, and by Close.
func TestLeaseEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		start := time.Now()
		waiting, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		if events, err := s.Lease(waiting, 1); !errors.Is(err, context.DeadlineExceeded) || events != nil || time.Since(start) != 10*time.Minute {
			t.Errorf("leased %q after %s: %v", identities(events), time.Since(start), err)
		}
		ended := make(chan error, 3)
		for range cap(ended) {
			go func() {
				_, err := s.Lease(ctx, 1)
				ended <- err
			}()
		}
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for range cap(ended) {
			if err := <-ended; !errors.Is(err, queue.ErrClosed) {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing a second time: %v", err)
		}
		_, accepted := s.Accept(ctx, []queue.Record{record("a", "")}, queue.Admission{})
		_, listed := s.List(ctx, queue.Filter{})
		_, requeued := s.Requeue(ctx, queue.Filter{}, 0)
		_, expired := s.Expire(ctx, queue.Retention{})
		_, stats := s.Stats(ctx)
		_, leased := s.Lease(ctx, 1)
		_, _, compacted := s.Compact(ctx)
		settled := s.Settle(ctx, &queue.Event{ID: 1}, queue.Outcome{State: queue.Dead})
		for i, err := range []error{accepted, listed, requeued, expired, stats, leased, compacted, settled, s.Discard(ctx, 1), s.Check(ctx)} {
			if !errors.Is(err, queue.ErrClosed) {
				t.Errorf("method %d of a closed store: %v", i, err)
			}
		}
	})
}

// TestRequeuedInOrder requeues events with the same order: they come in the order
// of their requeueing.
func TestRequeuedInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		accept(t, s, record("a", "1"), record("b", "1"), record("c", "1"))
		var dead []*queue.Event
		for _, identity := range []string{"a", "b", "c"} {
			e := expectDue(t, s, 9, identity)[0]
			settle(t, s, e, queue.Outcome{State: queue.Dead})
			dead = append(dead, e)
		}
		for _, e := range slices.Backward(dead) {
			if n, err := s.Requeue(ctx, queue.Filter{ID: e.ID}, 0); n != 1 || err != nil {
				t.Fatalf("requeued %d: %v", n, err)
			}
			check(t, s)
		}
		for _, identity := range []string{"c", "b", "a"} {
			settle(t, s, expectDue(t, s, 9, identity)[0], queue.Outcome{State: queue.Delivered})
		}
	})
}

// TestLeaseWaitsForTheDisk looks for due events while the sync of a commit is under
// way. Should that fail, the event is taken back, and the next one gets its id.
func TestLeaseWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("first", "1"))
	a := newAcceptance([]queue.Record{record("second", "2")}, queue.Admission{})
	s.state.Lock()
	frame, err := s.apply([]*operation{{apply: a.apply}}, time.Now())
	s.state.Unlock()
	if frame == nil || err != nil {
		t.Fatalf("changed %d bytes: %v", len(frame), err)
	}
	if got := identities(due(t, s, 10)); !slices.Equal(got, []string{"first"}) {
		t.Errorf("leased %v", got)
	}
}
