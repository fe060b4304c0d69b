package sqlite

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestFailedCommitKeepsTheOrder has the commit fail that settles the first event of a
// conversation and leases the second.
func TestFailedCommitKeepsTheOrder(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("A", "x"))
	accept(t, s, record("B", "x"))
	accept(t, s, record("C", "x"))
	a := due(t, s, 1)[0]
	outcome := queue.Outcome{State: queue.Delivered}
	if err := failing(s, settleOne(a, outcome), leaseSome(1)); err == nil {
		t.Fatal("the commit does not fail")
	}
	if events := due(t, s, 3); len(events) != 0 {
		t.Fatalf("%s is leased beside A", events[0].Identity)
	}
	settle(t, s, a, outcome)
	if events := due(t, s, 3); len(events) != 1 || events[0].Identity != "B" {
		t.Errorf("leased %d events after A", len(events))
	}
	check(t, s)
}

// failing does operations in a commit that fails.
func failing(s *Store, ops ...func(*txn) error) error {
	all := []*operation{}
	for _, op := range append(ops, func(*txn) error { return failure{errors.New("the disk fails")} }) {
		all = append(all, &operation{apply: op})
	}
	return s.commit(all)
}

func settleOne(e *queue.Event, o queue.Outcome) func(*txn) error {
	return func(t *txn) error { return t.settle(t.memory.consumer(queue.DefaultConsumer), int64(e.ID), o) }
}

func leaseSome(limit int) func(*txn) error {
	return func(t *txn) error {
		_, _, err := t.lease(t.memory.consumer(queue.DefaultConsumer), limit)
		return err
	}
}

// TestFailedCommitChangesNothing holds what a store knows without the file against what it
// knew before, after commits that fail between others.
func TestFailedCommitChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	c := s.memory.consumer(queue.DefaultConsumer)
	known := func() string {
		held := func(leases map[int64]*lease) (all []string) {
			for _, id := range slices.Sorted(maps.Keys(leases)) {
				all = append(all, fmt.Sprint(id, *leases[id]))
			}
			return all
		}
		return fmt.Sprint(s.memory.last, c.progress, "leased", held(c.leased), "open", held(c.open), "returned", c.returned, "busy", held(c.busy))
	}
	n := 0
	var leased []*queue.Event
	take := func(e *queue.Event) {
		leased = slices.DeleteFunc(leased, func(l *queue.Event) bool { return l.ID == e.ID })
	}
	outcomes := []queue.Outcome{
		{State: queue.Delivered}, {State: queue.Dead, Attempt: queue.Attempt{Error: "410"}},
		{State: queue.Pending, Due: time.Now(), Attempt: queue.Attempt{Error: "500"}},
	}
	rapid.Check(t, func(r *rapid.T) {
		drawn := func(what string) *queue.Event { return rapid.SampledFrom(leased).Draw(r, what) }
		for range rapid.IntRange(1, 6).Draw(r, "steps") {
			switch step := rapid.IntRange(0, 6).Draw(r, "step"); {
			case step == 0:
				n++
				accept(t, s, record(fmt.Sprint(n), rapid.SampledFrom([]string{"", "x", "y"}).Draw(r, "conversation")))
			case step == 1:
				leased = append(leased, due(t, s, rapid.IntRange(1, 3).Draw(r, "limit"))...)
			case step == 2 && len(leased) > 0:
				e := drawn("released")
				settle(t, s, e, queue.Outcome{Released: true})
				take(e)
			case step == 3 && len(leased) > 0:
				e := drawn("settled")
				settle(t, s, e, rapid.SampledFrom(outcomes).Draw(r, "outcome"))
				take(e)
			case step == 4:
				if _, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		var ops []func(*txn) error
		for _, e := range leased {
			if rapid.Bool().Draw(r, "settles") {
				ops = append(ops, settleOne(e, rapid.SampledFrom(outcomes).Draw(r, "outcome")))
			}
		}
		ops = append(ops, leaseSome(rapid.IntRange(1, 3).Draw(r, "limit")), func(t *txn) error {
			for id := range t.memory.last {
				if w, has, err := t.stands(c, id); err != nil || has && c.leased[id] == nil && id%3 == 0 && t.discard(c, id, &w) != nil {
					return errors.New("cannot discard")
				}
			}
			return nil
		})
		before := known()
		if failing(s, ops...) == nil {
			r.Fatal("the commit does not fail")
		}
		if after := known(); after != before {
			r.Fatalf("before the commit that failed:\n%s\nafter it:\n%s", before, after)
		}
	})
	check(t, s)
}
