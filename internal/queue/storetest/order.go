package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// orderOverRetries keeps a conversation waiting for an event that fails, and goes
// on when it is dead.
func orderOverRetries(_ *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"))
	s.fail(s.expectLease("a")[0], time.Minute)
	s.expectLease()
	s.accept(record("c", "1"), record("x", "2"))
	s.deliver(s.expectLease("x")[0])
	time.Sleep(time.Minute)
	s.fail(s.expectLease("a")[0], time.Hour)
	s.expectLease()
	time.Sleep(time.Hour)
	s.bury(s.expectLease("a")[0])
	s.deliver(s.expectLease("b")[0])
	s.deliver(s.expectLease("c")[0])
	s.expectLease()
}

// orderOverDiscards goes on with the next when the first of a conversation is
// discarded, and is not disturbed when one in the middle is.
func orderOverDiscards(_ *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"), record("c", "1"), record("d", "1"), record("e", "1"))
	s.discard(s.find("a"))
	b := s.expectLease("b")[0]
	s.discard(s.find("c"))
	s.expectLease()
	s.fail(b, time.Hour)
	s.expectLease()
	s.discard(b)
	s.deliver(s.expectLease("d")[0])
	s.discard(s.find("d"))
	s.deliver(s.expectLease("e")[0])
	s.accept(record("f", "1"))
	s.expectLease("f")
}

// orderOverRequeues requeues a dead letter while its conversation goes on: no two
// of its events are leased at a time.
func orderOverRequeues(_ *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"), record("c", "1"))
	s.bury(s.expectLease("a")[0])
	b := s.expectLease("b")[0]
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, 0)
	s.expectLease()
	s.deliver(b)
	c := s.expectLease("c")[0]
	s.fail(c, time.Hour)
	s.deliver(s.expectLease("a")[0])
	time.Sleep(time.Hour)
	s.expectLease("c")
}

// orderAcrossLanes leases live events while one with the same order is replayed,
// and the other way round.
func orderAcrossLanes(_ *testing.T, s *store) {
	s.accept(record("a", "1"))
	s.bury(s.expectLease("a")[0])
	s.accept(record("b", "1"))
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, 0)
	s.fail(s.expectLease("b")[0], time.Minute)
	replayed := s.expectLease("a")[0]
	time.Sleep(time.Minute)
	s.expectLease()
	s.accept(record("c", "2"))
	s.expectLease("c")
	s.release(replayed)
	s.expectLease("b")
	s.expectLease()
}

// requeuedInOrder requeues events of one conversation: they come in the order of
// their requeueing, and those of one call in that of their acceptance.
func requeuedInOrder(t *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"), record("c", "1"))
	var dead []*queue.Event
	for _, identity := range []string{"a", "b", "c"} {
		e := s.expectLease(identity)[0]
		s.bury(e)
		dead = append(dead, e)
	}
	for _, e := range slices.Backward(dead) {
		s.expectRequeue(1, queue.Filter{ID: e.ID}, 0)
		s.check()
	}
	for _, identity := range []string{"c", "b", "a"} {
		s.deliver(s.expectLease(identity)[0])
	}
	s.expectRequeue(3, queue.Filter{State: queue.Delivered}, 0)
	for _, identity := range []string{"a", "b", "c"} {
		s.bury(s.expectLease(identity)[0])
	}
	s.expectLease()
	if t.Failed() {
		return
	}
	s.expectRequeue(3, queue.Filter{State: queue.Dead}, time.Minute)
	s.fail(s.expectLease("a")[0], time.Hour)
	time.Sleep(30 * time.Minute) // b and c are due, but wait for a
	s.expectLease()
	s.discard(s.find("a"))
	s.deliver(s.expectLease("b")[0])
	s.deliver(s.expectLease("c")[0])
}

// releasedKeepsItsPlace gives events back: as if they had never been leased.
func releasedKeepsItsPlace(t *testing.T, s *store) {
	same := func(e *queue.Event, before string) {
		t.Helper()
		s.release(e)
		if after := describe(s.find(e.Identity)); after != before {
			t.Errorf("released: %s\nbefore:   %s", after, before)
		}
	}
	s.accept(record("a", "1"), record("b", "1"), record("x", ""))
	before := describe(s.find("a"))
	leased := s.expectLease("a", "x")
	same(leased[0], before)
	s.release(leased[1])
	leased = s.expectLease("a", "x") // in the order of acceptance again
	s.deliver(leased[1])

	s.fail(leased[0], time.Minute)
	time.Sleep(time.Minute)
	before = describe(s.find("a"))
	same(s.expectLease("a")[0], before)
	s.bury(s.expectLease("a")[0])

	s.expectRequeue(1, queue.Filter{State: queue.Dead}, 0)
	before = describe(s.find("a"))
	leased = s.expectLease("b")
	s.deliver(leased[0])
	same(s.expectLease("a")[0], before)
	s.expectLease("a")
}

// leasesEndWithTheStore gives what was leased back when the store is opened again:
// no attempt counts.
func leasesEndWithTheStore(t *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"), record("c", "2"), record("d", ""))
	s.fail(s.expectLease("a", "c", "d")[0], time.Minute)
	time.Sleep(time.Minute)
	s.expectLease("a")
	before := s.outline()
	s.reopen()
	if after := s.outline(); after != before {
		t.Errorf("the store holds\n%s\nbefore it was closed\n%s", after, before)
	}
	stats := s.stats()
	if stats.InFlight != 0 || stats.Pending != 4 {
		t.Errorf("stats %+v", stats)
	}
	leased := s.lease(100)
	slices.SortFunc(leased, func(a, b *queue.Event) int { return int(a.ID) - int(b.ID) })
	if got := identities(leased); !slices.Equal(got, []string{"a", "c", "d"}) {
		t.Fatalf("leased %q", got)
	}
	if a := leased[0]; a.Attempts != 1 || a.Lane != queue.Retried || a.LastError != "500" {
		t.Errorf("leased %s", describe(a))
	}
	s.deliver(leased[0])
	s.expectLease("b")
}

// orderOverAReopen closes the store between any two steps of a conversation.
func orderOverAReopen(_ *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"), record("c", "1"), record("d", "1"))
	s.reopen()
	s.fail(s.expectLease("a")[0], time.Minute)
	s.reopen()
	s.expectLease()
	time.Sleep(time.Minute)
	s.bury(s.expectLease("a")[0])
	s.reopen()
	s.accept(record("e", "1"))
	s.deliver(s.expectLease("b")[0])
	s.expectRequeue(2, queue.Filter{}, time.Hour) // a and, an hour later, b
	s.reopen()
	s.discard(s.find("c"))
	s.reopen()
	s.deliver(s.expectLease("d")[0])
	s.reopen()
	s.fail(s.expectLease("e")[0], 2*time.Hour)
	s.reopen()
	s.deliver(s.expectLease("a")[0])
	s.reopen()
	s.expectLease()
	time.Sleep(time.Hour)
	s.expectLease("b")
	s.reopen()
	time.Sleep(time.Hour)
	s.deliver(s.expectLease("e")[0])
	s.deliver(s.expectLease("b")[0])
	s.expectLease()
}

// orderOfEach has each consumer its own order: what waits for one is nothing to another.
func orderOfEach(_ *testing.T, s *store) {
	s.join(queue.Consumer{Name: "crm", Order: queue.ByAccount}, queue.Consumer{Name: "bot", Order: queue.Unordered})
	all := []string{queue.DefaultConsumer, "crm", "bot"}
	for _, r := range []struct{ identity, conversation, account string }{
		{"a", "1", "x"}, {"b", "1", "y"}, {"c", "2", "x"}, {"d", "", "y"}, {"e", "2", ""}, {"f", "3", ""},
	} {
		e := record(r.identity, r.conversation)
		e.Account = r.account
		s.acceptFor(all, e)
	}
	s.expectLeaseFor("bot", "a", "b", "c", "d", "e", "f")
	s.fail(s.expectLeaseFor("crm", "a", "b", "e", "f")[0], time.Hour)
	leased := s.expectLease("a", "c", "d", "f")
	s.deliver(leased[0])
	s.fail(leased[1], time.Minute)
	s.expectLease("b")
	s.expectLeaseFor("crm")
	time.Sleep(time.Hour)
	s.bury(s.expectLeaseFor("crm", "a")[0])
	s.expectLeaseFor("crm", "c")
	s.deliver(s.expectLease("c")[0])
	s.expectLease("e")
}

// orderChanges changes the order of a consumer: for what is accepted afterwards, and over a
// reopen.
func orderChanges(_ *testing.T, s *store) {
	join := func(order queue.Order) { s.join(queue.Consumer{Name: "crm", Order: order}) }
	to := []string{"crm"}
	join(queue.ByConversation)
	s.acceptFor(to, record("a", "1"), record("b", "1"))
	join(queue.Unordered)
	s.acceptFor(to, record("c", "1"), record("d", "1"))
	leased := s.expectLeaseFor("crm", "a", "c", "d")
	s.settleAll(leased[1:], queue.Outcome{State: queue.Dead})
	s.fail(leased[0], time.Hour)
	s.expectLeaseFor("crm")
	s.reopen()
	join(queue.ByAccount)
	s.acceptFor(to, record("e", "1"), record("f", "2"))
	s.fail(s.expectLeaseFor("crm", "e")[0], 2*time.Hour)
	s.expectRequeue(2, queue.Filter{Consumer: "crm", State: queue.Dead}, 0)
	s.settleAll(s.expectLeaseFor("crm", "c", "d"), queue.Outcome{State: queue.Delivered})
	s.reopen()
	time.Sleep(time.Hour)
	s.deliver(s.expectLeaseFor("crm", "a")[0])
	s.deliver(s.expectLeaseFor("crm", "b")[0])
	time.Sleep(time.Hour)
	s.deliver(s.expectLeaseFor("crm", "e")[0])
	s.expectLeaseFor("crm", "f")
}
