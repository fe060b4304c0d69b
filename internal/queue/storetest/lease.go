package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// lifeOfAnEvent takes events through all states.
func lifeOfAnEvent(t *testing.T, s *store) {
	if d := s.accept(record("a", "1"), record("b", "1"), record("c", "2"), record("a", "1")); fmt.Sprint(d) != "[false false false true]" {
		t.Errorf("duplicates %v", d)
	}
	if d := s.accept(record("c", "2")); fmt.Sprint(d) != "[true]" {
		t.Errorf("duplicates %v", d)
	}
	s.check()
	first := s.expectLease("a", "c")
	s.expectLease()
	s.deliver(first[0])
	s.bury(first[1])
	s.check()
	s.fail(s.expectLease("b")[0], time.Hour)
	s.check()
	stats := s.stats()
	if stats.Pending != 1 || stats.Dead != 1 || stats.Delivered != 1 || stats.InFlight != 0 || stats.Oldest.IsZero() {
		t.Errorf("stats %+v", stats)
	}
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, 0)
	s.expectRequeue(1, queue.Filter{State: queue.Pending}, 0)
	s.check()
	again := s.expectLease("b", "c")
	b, c := again[0], again[1]
	if b.Attempts != 1 || b.LastError != "500" || b.Lane != queue.Retried || c.Attempts != 0 || c.Lane != queue.Replayed {
		t.Fatalf("leased %s", describeAll(again))
	}
	if err := s.Discard(t.Context(), "", b.ID); !errors.Is(err, queue.ErrLeased) {
		t.Errorf("discarding a leased event: %v", err)
	}
	s.release(b)
	s.discard(b)
	if err := s.Discard(t.Context(), "", b.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("discarding a forgotten event: %v", err)
	}
	s.deliver(c)
	s.check()
	all := s.list(queue.Filter{Bodies: true})
	if len(all) != 2 || all[0].Identity != "c" || string(all[0].Body) != `{"id":"c"}` {
		t.Errorf("listed %+v", all)
	}
	s.expire(queue.Retention{})
	s.check()
	if left := s.list(queue.Filter{}); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
	if d := s.accept(record("a", "1")); d != nil {
		t.Errorf("forgotten, but a duplicate: %v", d)
	}
}

// leaseLimit leases no more than it may, the oldest first.
func leaseLimit(t *testing.T, s *store) {
	s.accept(batch("a", 5)...)
	s.accept(batch("b", 5)...)
	var got []string
	for _, limit := range []int{1, 3, 2, 4} {
		events, _, err := s.Lease(t.Context(), queue.DefaultConsumer, limit)
		if err != nil || len(events) == 0 || len(events) > limit {
			t.Fatalf("leased %q, limit %d: %v", identities(events), limit, err)
		}
		got = append(got, identities(events)...)
	}
	got = append(got, identities(s.lease(100))...)
	want := []string{"a 0", "a 1", "a 2", "a 3", "a 4", "b 0", "b 1", "b 2", "b 3", "b 4"}
	if !slices.Equal(got, want) {
		t.Errorf("leased %q, want %q", got, want)
	}
}

// lanesTakeTurns has many events of all lanes: neither the live nor the retried
// ones keep the others waiting, and replayed ones come last.
func lanesTakeTurns(t *testing.T, s *store) {
	const each = 20
	s.accept(batch("replayed", each)...)
	s.settleAll(s.lease(each), queue.Outcome{State: queue.Dead})
	s.accept(batch("retried", each)...)
	s.settleAll(s.lease(each), queue.Outcome{State: queue.Pending, Due: now()})
	s.expectRequeue(each, queue.Filter{State: queue.Dead}, 0)
	s.accept(batch("live", each)...)
	count := make(map[queue.Lane]int)
	for n := range 3 * each {
		e := s.lease(1)
		if len(e) == 0 {
			t.Fatalf("only %d events are due", n)
		}
		count[e[0].Lane]++
		live, retried := count[queue.Live], count[queue.Retried]
		if n < 2*each && (count[queue.Replayed] > 0 || n > each && min(live, retried) < each/4) {
			t.Fatalf("the first %d events are %v", n+1, count)
		}
	}
	if count[queue.Live] != each || count[queue.Retried] != each {
		t.Errorf("leased %v, want %d of each", count, each)
	}
}

// leaseWakes waits for events in all the ways that they become due.
func leaseWakes(t *testing.T, s *store) {
	start := time.Now()
	leased := make(chan *queue.Event)
	wait := func() {
		go func() {
			events, _, err := s.Lease(t.Context(), queue.DefaultConsumer, 1)
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
		if e == nil || e.Identity != identity || time.Since(start) != after {
			t.Fatalf("leased %v after %s, want %q after %s", e, time.Since(start), identity, after)
		}
		return e
	}
	wait()
	time.Sleep(90 * time.Minute)
	s.accept(record("a", "1"), record("b", "1"))
	a := expect("a", 90*time.Minute)

	wait() // for the one before
	time.Sleep(time.Minute)
	s.deliver(a)
	b := expect("b", 91*time.Minute)

	wait() // for the event to be given back
	s.release(b)
	b = expect("b", 91*time.Minute)

	wait() // for the time of the next attempt
	s.fail(b, 36*time.Hour+time.Millisecond)
	after := 91*time.Minute + 36*time.Hour + time.Millisecond
	b = expect("b", after)

	s.fail(b, time.Hour)
	wait() // for the event to be made due
	s.expectRequeue(1, queue.Filter{ID: b.ID}, time.Minute)
	b = expect("b", after)

	s.accept(record("c", "1"))
	s.fail(b, time.Hour)
	wait() // for the one before to be discarded
	s.discard(b)
	c := expect("c", after)

	s.bury(c)
	wait() // for a dead letter to be requeued
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, time.Minute)
	c = expect("c", after)

	s.accept(record("d", "1"))
	wait() // for the one in the other lane
	s.deliver(c)
	expect("d", after)
}

// leaseWaitsForTwo has two that wait, and one event at a time.
func leaseWaitsForTwo(t *testing.T, s *store) {
	leased := make(chan string, 2)
	for range 2 {
		go func() {
			events, _, err := s.Lease(t.Context(), queue.DefaultConsumer, 5)
			if err != nil {
				t.Error(err)
			}
			leased <- fmt.Sprint(identities(events))
		}()
	}
	synctest.Wait()
	s.accept(record("a", "1"))
	synctest.Wait()
	if got := <-leased; got != "[a]" || len(leased) != 0 {
		t.Errorf("leased %s and %d more", got, len(leased))
	}
	s.accept(record("b", "2"))
	if got := <-leased; got != "[b]" {
		t.Errorf("leased %s", got)
	}
}

// leaseEnds ends leases that wait: by their context, and by Close. After that all
// methods say that the store is closed.
func leaseEnds(t *testing.T, s *store) {
	start := time.Now()
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	events, _, err := s.Lease(waiting, queue.DefaultConsumer, 1)
	if !errors.Is(err, context.DeadlineExceeded) || events != nil || time.Since(start) != 10*time.Minute {
		t.Errorf("leased %q after %s: %v", identities(events), time.Since(start), err)
	}
	ended := make(chan error, 3)
	for range cap(ended) {
		go func() {
			_, _, err := s.Lease(t.Context(), queue.DefaultConsumer, 1)
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
	for name, err := range s.callAll() {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s of a closed store: %v", name, err)
		}
	}
}

// callAll calls all methods but Close, and returns their errors.
func (s *store) callAll() map[string]error {
	ctx := s.t.Context()
	errs := make(map[string]error)
	_, errs["Accept"] = s.Accept(ctx, []queue.Record{record("a", "")}, queue.Admission{})
	_, _, errs["Lease"] = s.Lease(ctx, queue.DefaultConsumer, 1)
	errs["Settle"] = s.Settle(ctx, &queue.Event{ID: 1}, queue.Outcome{State: queue.Dead})
	_, errs["List"] = s.List(ctx, queue.Filter{})
	_, errs["Requeue"] = s.Requeue(ctx, queue.Filter{}, 0)
	errs["Join"] = s.Join(ctx, []queue.Consumer{{Name: "crm"}})
	errs["Pause"] = s.Pause(ctx, queue.DefaultConsumer, true)
	errs["Drop"] = s.Drop(ctx, queue.DefaultConsumer)
	errs["Discard"] = s.Discard(ctx, "", 1)
	_, errs["Expire"] = s.Expire(ctx, queue.Retention{})
	_, errs["Stats"] = s.Stats(ctx)
	if m, ok := s.Store.(queue.Maintainer); ok {
		errs["Check"] = m.Check(ctx)
		_, _, errs["Compact"] = m.Compact(ctx)
	}
	return errs
}
