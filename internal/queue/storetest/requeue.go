package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// requeueSpacing requeues many events, more than a store would in one step: one
// comes each interval, in the order of their acceptance.
func requeueSpacing(t *testing.T, s *store) {
	const total = 2100
	s.accept(batch("a", total)...)
	s.settleAll(s.lease(total), queue.Outcome{State: queue.Dead})
	s.expectRequeue(total, queue.Filter{State: queue.Dead}, time.Second)
	s.check()
	begin := now()
	for i, e := range s.list(queue.Filter{OldestFirst: true}) {
		if want := begin.Add(time.Duration(i) * time.Second); !e.Due.Equal(want) || !e.Requeued.Equal(begin) || e.Lane != queue.Replayed {
			t.Fatalf("requeued %s, want it due at %s", describe(&e), want)
		}
	}
	for n := range 50 {
		events := s.lease(9)
		if len(events) != 1 || events[0].Identity != fmt.Sprint("a ", n) {
			t.Fatalf("%q are due after %ds, want one", identities(events), n)
		}
		time.Sleep(time.Second)
	}
	if n := len(s.lease(9)); n != 1 {
		t.Errorf("%d are due, want 1", n)
	}
	time.Sleep(total * time.Second)
	if n := len(s.lease(2 * total)); n != total-51 {
		t.Errorf("%d were left, want %d", n, total-51)
	}
}

// requeueIDs requeues every second of many events, at the same pace as if the filter selected
// them by something else.
func requeueIDs(t *testing.T, s *store) {
	const total = 2100
	s.accept(batch("a", 2*total)...)
	s.settleAll(s.lease(2*total), queue.Outcome{State: queue.Dead})
	var ids []uint64
	for i, e := range s.list(queue.Filter{OldestFirst: true}) {
		if i%2 == 0 {
			ids = append(ids, e.ID)
		}
	}
	s.expectRequeue(total, queue.Filter{IDs: append(ids, 1<<40), State: queue.Dead}, time.Second)
	s.check()
	begin := now()
	for i, e := range s.list(queue.Filter{IDs: ids, OldestFirst: true, State: queue.Pending}) {
		if want := begin.Add(time.Duration(i) * time.Second); e.ID != ids[i] || !e.Due.Equal(want) {
			t.Fatalf("requeued %s, want %d due at %s", describe(&e), ids[i], want)
		}
	}
	if left := s.stats().Dead; left != total {
		t.Errorf("%d are still dead, want %d", left, total)
	}
}

// requeueSelects requeues what the filter selects and can be requeued, and
// nothing else; limit, order and bodies do not matter.
func requeueSelects(t *testing.T, s *store) {
	for _, identity := range []string{"delivered", "dead", "retried", "leased", "due", "live"} {
		s.accept(record(identity, identity))
		if identity == "live" {
			break
		}
		e := s.expectLease(identity)[0]
		switch identity {
		case "delivered":
			s.deliver(e)
		case "dead":
			s.bury(e)
		case "retried":
			s.fail(e, time.Hour)
		case "due":
			s.fail(e, 0)
		}
	}
	for _, f := range []queue.Filter{
		{Field: "messages"}, {Account: "3"}, {ID: s.find("live").ID}, {ID: s.find("leased").ID},
		{ID: s.find("due").ID}, {Since: now().Add(time.Second)}, {After: s.find("live").ID},
		{Before: s.find("delivered").ID}, {ID: 1000},
	} {
		s.expectRequeue(0, f, 0)
	}
	s.expectRequeue(1, queue.Filter{State: queue.Pending}, time.Hour)
	if e := s.find("retried"); e.Due.After(now()) || e.Attempts != 1 || e.Lane != queue.Retried {
		t.Errorf("made due: %s", describe(e))
	}
	s.expectRequeue(2, queue.Filter{Limit: 1, OldestFirst: true, Bodies: true, Field: "comments"}, time.Hour)
	s.expectRequeue(1, queue.Filter{}, time.Hour) // the second of them is due at once now
	stats := s.stats()
	if stats.Pending != 6 || stats.InFlight != 1 || stats.Dead != 0 || stats.Delivered != 0 {
		t.Errorf("stats %+v", stats)
	}
	for _, identity := range []string{"delivered", "dead"} {
		e := s.find(identity)
		if e.State != queue.Pending || e.Lane != queue.Replayed || e.Attempts != 0 || e.LastError != "" ||
			!e.Settled.IsZero() || e.Requeued.IsZero() || e.Due.After(now()) {
			t.Errorf("requeued %s", describe(e))
		}
	}
}

// requeuedFails has a requeued event fail: it stays in its lane, counts its
// attempts anew, and can be requeued once more.
func requeuedFails(t *testing.T, s *store) {
	s.accept(record("a", "1"))
	s.fail(s.expectLease("a")[0], 0)
	s.bury(s.expectLease("a")[0])
	if e := s.find("a"); e.Attempts != 2 || e.LastError != "410" || e.Settled.IsZero() {
		t.Errorf("dead: %s", describe(e))
	}
	time.Sleep(time.Minute)
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, time.Hour)
	requeued := now()
	a := s.expectLease("a")[0]
	ended := now()
	s.fail(a, time.Minute)
	time.Sleep(time.Minute)
	s.fail(s.expectLease("a")[0], time.Minute)
	e := s.find("a")
	if e.Lane != queue.Replayed || e.Attempts != 2 || e.LastError != "500" || !e.Tried.Equal(ended) || !e.Requeued.Equal(requeued) {
		t.Errorf("failed twice: %s", describe(e))
	}
	time.Sleep(time.Minute)
	s.deliver(s.expectLease("a")[0])
	if e := s.find("a"); e.Attempts != 3 || e.LastError != "" {
		t.Errorf("delivered: %s", describe(e))
	}
	s.expectRequeue(1, queue.Filter{State: queue.Delivered}, 0)
	s.expectLease("a")
}
