package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// joinsNew has a consumer begin with what is accepted after it joined. Others that are not
// named stay.
func joinsNew(_ *testing.T, s *store) {
	s.accept(record("a", "1"))
	s.join(crm)
	s.expectStats(queue.Stats{Consumer: "crm"})
	s.expectLeaseFor("crm")
	s.join(bot)
	s.acceptFor([]string{"crm", "bot"}, record("b", "1"))
	s.expectLeaseFor("crm", "b")
	s.expectLeaseFor("bot", "b")
	s.expectLease("a")
	s.expectList(queue.Filter{OldestFirst: true}, "default/a", "bot/b", "crm/b")
}

// joinsFromKept has consumers begin with what is held for others, whatever became of it
// there: of some fields, in order, before what is accepted later.
func joinsFromKept(t *testing.T, s *store) {
	begin := now()
	states := []string{"delivered", "dead", "retried", "leased", "requeued", "discarded", "waiting"}
	var size int64
	for _, identity := range states {
		r := record(identity, "1")
		r.Conversation = identity
		if identity == "dead" || identity == "waiting" {
			r.Field, r.Conversation = "messages", "one"
			size += int64(len(r.Body))
		}
		s.accept(r)
		time.Sleep(time.Second)
	}
	leased := s.expectLease("delivered", "dead", "retried", "leased", "requeued", "discarded")
	s.deliver(leased[0])
	s.bury(leased[1])
	s.fail(leased[2], time.Hour)
	s.deliver(leased[4])
	s.expectRequeue(1, queue.Filter{ID: leased[4].ID}, time.Hour)
	s.release(leased[5])
	s.discard(leased[5])
	before := s.outline()
	s.join(
		queue.Consumer{Name: "crm", FromKept: true, Order: queue.Unordered},
		queue.Consumer{Name: "bot", FromKept: true, Fields: []string{"mentions", "messages"}},
		queue.Consumer{Name: "archive", FromKept: true, Fields: []string{"mess", "ages"}},
		queue.Consumer{Name: "late", Fields: []string{"messages"}},
	)
	s.expectStats(queue.Stats{Consumer: "bot", Pending: 2, PendingBytes: size, Oldest: begin.Add(time.Second)})
	s.expectStats(queue.Stats{Consumer: "archive"})
	s.expectStats(queue.Stats{Consumer: "late"})
	for _, e := range s.list(queue.Filter{Consumer: "crm", History: true}) {
		if e.State != queue.Pending || e.Lane != queue.Live || e.Attempts != 0 || e.LastError != "" || e.InFlight ||
			!e.Settled.IsZero() || !e.Requeued.IsZero() || !e.Due.IsZero() || len(e.History) != 0 {
			t.Errorf("begins with %s", describe(&e))
		}
	}
	s.check()
	s.acceptFor([]string{"bot", "crm"}, record("new", "one"))
	s.reopen()
	s.expectLeaseFor("crm", "delivered", "dead", "retried", "leased", "requeued", "waiting", "new")
	for _, identity := range []string{"dead", "waiting", "new"} {
		e := s.expectLeaseFor("bot", identity)[0]
		if want := string(record(identity, "").Body); string(e.Body) != want {
			t.Errorf("leased the body %q, want %s", e.Body, want)
		}
		s.deliver(e)
	}
	s.expectStats(queue.Stats{Consumer: "bot", Delivered: 3})
	for _, consumer := range []string{"crm", "bot"} {
		s.settleAll(s.leaseFor(consumer, 10), queue.Outcome{State: queue.Delivered})
	}
	s.reopen()
	for _, e := range s.leaseFor("crm", 10) {
		s.deliver(e)
	}
	for _, consumer := range []string{"archive", "bot", "crm", "late"} {
		s.drop(consumer)
	}
	if after := s.outline(); after != before {
		t.Errorf("without those that joined the store holds\n%s\nwant\n%s", after, before)
	}
}

// joinsAgain has a consumer join that is known: it goes on where it was.
func joinsAgain(_ *testing.T, s *store) {
	s.accept(record("old", ""))
	s.join(crm)
	s.acceptFor(both, record("a", "1"), record("b", "1"))
	s.pause("crm", true)
	s.join(queue.Consumer{Name: "crm", FromKept: true, Fields: []string{"messages"}})
	s.expectLeaseFor("crm")
	s.pause("crm", false)
	a := s.expectLeaseFor("crm", "a")[0]
	s.join(crm)
	s.expectLeaseFor("crm")
	s.deliver(a)
	s.join()
	s.deliver(s.expectLeaseFor("crm", "b")[0])
	s.reopen()
	s.join(queue.Consumer{Name: "crm", FromKept: true})
	s.expectStats(queue.Stats{Consumer: "crm", Delivered: 2})
	s.expectLeaseFor("crm")
}

// joinsTooMany has more join than a store can have: nobody of them does. One that is
// dropped makes room.
func joinsTooMany(t *testing.T, s *store) {
	var all []string
	for n := range queue.MaxConsumers - 2 {
		name := fmt.Sprint("consumer", n)
		s.join(queue.Consumer{Name: name})
		all = append(all, name)
	}
	s.acceptFor(all, record("a", "1"), record("b", "1"))
	before := s.outline()
	tooMany := []queue.Consumer{{Name: all[0], Order: queue.Unordered}, crm, {Name: "bot", FromKept: true}}
	if err := s.Join(t.Context(), tooMany); err == nil {
		t.Errorf("%d consumers could join", queue.MaxConsumers+1)
	}
	if after := s.outline(); after != before {
		t.Errorf("the store holds\n%s\nwant\n%s", after, before)
	}
	s.acceptFor(all[:1], record("c", "1")) // in the order that was
	s.expectLeaseFor(all[0], "a")
	s.drop(all[1])
	s.join(tooMany...)
	s.expectLeaseFor("bot", "a")
	last := record("d", "")
	last.For = 1 << (queue.MaxConsumers - 1)
	all[1] = "crm"
	s.acceptFor(append(all, queue.DefaultConsumer, "bot"), last)
	s.expectLeaseFor("crm")
	s.expectLeaseFor("bot", "d")
	s.reopen()
	s.expectLeaseFor("bot", "a", "d")
	s.expectLeaseFor("consumer60", "a")
	if err := s.Join(t.Context(), []queue.Consumer{{Name: "one more"}}); err == nil {
		t.Errorf("%d consumers could join after a reopen", queue.MaxConsumers+1)
	}
}
