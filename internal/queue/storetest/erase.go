package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// person is an event of somebody.
func person(identity, order, user, text string) queue.Record {
	r := record(identity, order)
	r.Body = fmt.Appendf(nil, `{"from":{"id":%q},"text":%q}`, user, text)
	return r
}

// erase erases what is of somebody, and returns when it did.
func (s *store) erase(want int, subject queue.Subject) time.Time {
	s.t.Helper()
	e := queue.Erasure{Subject: subject, At: now(), Because: "asked for"}
	if n, err := s.Erase(s.t.Context(), e); n != want || err != nil {
		s.t.Fatalf("erased %d events of %+v, want %d: %v", n, subject, want, err)
	}
	return e.At
}

// erasesAllStates erases events of one person in all states, for two consumers, and no event
// of others whose ids contain the person's.
func erasesAllStates(t *testing.T, s *store) {
	const user = "5550001"
	s.join(crm)
	names := []string{"delivered", "dead", "retried", "leased", "waiting"}
	for _, name := range names {
		s.acceptFor(both, person("instagram/1/f/"+name+"/"+user, name, user, "the words of "+name))
	}
	s.acceptFor(both, person("longer", "longer", user+"7", "words"), person("before", "before", "7"+user, "words"))
	for _, e := range s.leaseFor(queue.DefaultConsumer, 4) {
		switch e.Conversation {
		case "delivered":
			s.settle(e, queue.Outcome{State: queue.Delivered})
		case "dead":
			s.settle(e, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Ended: now(), Status: 422, Error: "422: no words", Answer: []byte("no words")}})
		case "retried":
			s.settle(e, queue.Outcome{State: queue.Pending, Due: now().Add(time.Hour), Attempt: queue.Attempt{Ended: now(), Error: "500: no words"}})
		}
	}
	if n, err := s.Erase(t.Context(), queue.Erasure{Subject: queue.Subject{User: user}, DryRun: true}); n != len(names) || err != nil {
		t.Fatalf("a dry run counts %d, %v", n, err)
	}
	if e := s.list(queue.Filter{Bodies: true, State: queue.Delivered}); len(e) != 1 || len(e[0].Body) == 0 {
		t.Fatalf("a dry run erased %s", describeAll(pointers(e)))
	}
	erased := s.erase(len(names), queue.Subject{User: user})
	s.erase(0, queue.Subject{User: user})
	s.check()
	s.reopen() // which ends leases
	states := map[string]queue.State{"delivered": queue.Delivered, "dead": queue.Dead}
	for _, consumer := range both {
		for i, e := range s.list(queue.Filter{Consumer: consumer, Bodies: true, History: true, OldestFirst: true}) {
			if i >= len(names) {
				if len(e.Body) == 0 || !e.ErasedAt.IsZero() || e.State != queue.Pending {
					t.Errorf("erased for another: %s", describe(&e))
				}
				continue
			}
			want := queue.Erased
			if state, settled := states[names[i]]; settled && consumer == queue.DefaultConsumer {
				want = state
			}
			if e.State != want || len(e.Body) != 0 || e.Size != 0 || e.Identity != "instagram/1/f/"+names[i]+"/erased" || e.Conversation != "" ||
				e.Signature != [32]byte{} || !e.ErasedAt.Equal(erased) || e.ErasedBecause != "asked for" || e.LastError != "" || e.Settled.IsZero() {
				t.Errorf("%s is left as %s", names[i], describe(&e))
			}
			for _, a := range e.History {
				if a.Error != "" || a.Answer != nil {
					t.Errorf("%s has the attempt %+v", names[i], a)
				}
			}
		}
		s.expectLeaseFor(consumer, "longer", "before")
	}
	s.expectStats(queue.Stats{Pending: 2, PendingBytes: s.stats().PendingBytes, InFlight: 2, Dead: 1, Delivered: 1, Oldest: s.stats().Oldest})
	for _, name := range names {
		if d := s.acceptFor(both, person("instagram/1/f/"+name+"/"+user, name, user, "again")); d == nil || !d[0] {
			t.Errorf("%s is no duplicate any more", name)
		}
	}
}

// erasesWhatIsLeft erases an account, and people who wrote to it, one after the other: what the
// first erasure leaves of an event, the next one finds.
func erasesWhatIsLeft(t *testing.T, s *store) {
	const account, user = "17841400000000001", "5550001"
	accept := func(key string) {
		s.accept(person("instagram/"+account+"/messaging_referral/"+user+"/"+key+"/ad", key, user, "words"))
	}
	expect := func(want string) {
		t.Helper()
		for _, e := range s.list(queue.Filter{}) {
			if e.Identity != want || e.ErasedAt.IsZero() {
				t.Errorf("left is %s", describe(&e))
			}
		}
		s.check()
	}
	accept("1")
	s.erase(1, queue.Subject{User: user})
	s.erase(0, queue.Subject{User: user})
	expect("instagram/" + account + "/messaging_referral/erased/1/ad")
	accept("2")
	s.erase(2, queue.Subject{Account: account})
	s.erase(0, queue.Subject{Account: account})
	s.erase(0, queue.Subject{User: user})
	expect("instagram/erased/messaging_referral/erased")
	s.expectLease()
}

// erasedIsNotRequeued requeues what was erased: nothing is delivered.
func erasedIsNotRequeued(t *testing.T, s *store) {
	s.accept(person("a", "1", "77", "one"), person("b", "", "77", "two"), person("c", "2", "77", "three"))
	for i, e := range s.expectLease("a", "b", "c") {
		switch i {
		case 0:
			s.deliver(e)
		case 1:
			s.bury(e)
		case 2:
			s.fail(e, time.Hour)
		}
	}
	s.erase(3, queue.Subject{User: "77"})
	s.expectRequeue(0, queue.Filter{}, 0)
	s.expectRequeue(0, queue.Filter{ID: s.find("b").ID}, 0)
	s.expectLease()
	s.expire(queue.Retention{Delivered: time.Hour, Dead: 2 * time.Hour})
	s.expectList(queue.Filter{}, "default/c", "default/b", "default/a")
	time.Sleep(time.Hour)
	s.expire(queue.Retention{Delivered: time.Hour, Dead: 2 * time.Hour})
	s.expectList(queue.Filter{}, "default/b")
}

// orderOverErasures erases the first of conversations that are held up, waiting and in
// flight: the next one goes on, but not while the first one is delivered.
func orderOverErasures(t *testing.T, s *store) {
	s.accept(person("a1", "a", "77", "x"), person("a2", "a", "8", "x"), person("a3", "a", "8", "x"))
	s.accept(person("b1", "b", "77", "x"), person("b2", "b", "8", "x"))
	leased := s.expectLease("a1", "b1")
	s.fail(leased[1], time.Hour)
	s.erase(2, queue.Subject{User: "77"})
	s.check()
	s.expectLease("b2")
	s.accept(person("a4", "a", "8", "x"))
	s.expectLease()
	s.check()
	s.fail(leased[0], 0)
	if e := s.find("a1"); e.State != queue.Erased || e.Attempts != 1 || e.LastError != "" || e.InFlight {
		t.Errorf("after its attempt it is %s", describe(e))
	}
	s.deliver(s.expectLease("a2")[0])
	s.deliver(s.expectLease("a3")[0])
	s.deliver(s.expectLease("a4")[0])
}

// erasedInFlight erases an event that is delivered just now, or given back.
func erasedInFlight(t *testing.T, s *store) {
	s.accept(person("a", "1", "77", "x"), person("b", "2", "77", "x"))
	leased := s.expectLease("a", "b")
	s.erase(2, queue.Subject{User: "77"})
	s.expectStats(queue.Stats{InFlight: 2})
	s.expire(queue.Retention{}) // not while they are in flight
	s.settle(leased[0], queue.Outcome{State: queue.Delivered, Attempt: queue.Attempt{Ended: now(), Status: 200, Answer: []byte("words")}})
	s.release(leased[1])
	if e := s.find("a"); e.State != queue.Delivered || e.ErasedAt.IsZero() {
		t.Errorf("delivered: %s", describe(e))
	}
	if e := s.find("b"); e.State != queue.Erased || e.Attempts != 0 {
		t.Errorf("released: %s", describe(e))
	}
	s.expectLease()
	s.expire(queue.Retention{})
	s.expectList(queue.Filter{})
}

// erasedForNobodyNew has a consumer join that begins with what is kept.
func erasedForNobodyNew(t *testing.T, s *store) {
	s.accept(person("a", "1", "77", "x"), person("b", "1", "8", "x"))
	s.erase(1, queue.Subject{User: "77"})
	s.join(queue.Consumer{Name: "crm", FromKept: true})
	s.expectLeaseFor("crm", "b")
	s.check()
}

// erasesInSteps erases events among more than a store looks at in one step.
func erasesInSteps(t *testing.T, s *store) {
	records := batch("a", 2500)
	want := 0
	for i := range records {
		if i%7 == 0 {
			records[i].Account = "9"
			want++
		}
	}
	s.accept(records...)
	s.erase(want, queue.Subject{Account: "9"})
	s.check()
	if n := len(s.list(queue.Filter{State: queue.Erased, Account: "erased"})); n != want {
		t.Errorf("%d are erased, want %d", n, want)
	}
	if n := len(s.lease(3000)); n != len(records)-want {
		t.Errorf("%d can be leased, want %d", n, len(records)-want)
	}
}

// takenBack takes messages back: one that is waiting, delivered to one of two, in flight, and
// in the same delivery. Others, and what comes later, stay.
func takenBack(t *testing.T, s *store) {
	s.join(crm)
	message := func(identity, order, id string, back bool) queue.Record {
		r := record(identity, order)
		r.Message, r.TakesBack = id, back
		return r
	}
	s.acceptFor(both, message("a", "1", "1/a", false), message("edit of a", "1", "1/a", false), message("b", "2", "1/b", false))
	s.deliver(s.expectLeaseFor("crm", "a", "b")[0])
	s.acceptFor(both, message("a/deleted", "1", "1/a", true), message("b/deleted", "2", "1/b", true))
	s.acceptFor(both, message("c", "3", "1/c", false), message("c/deleted", "3", "1/c", true), message("after", "1", "1/a", false))
	s.check()
	s.expectLeaseFor(queue.DefaultConsumer, "a/deleted", "b/deleted", "c/deleted")
	s.expectLeaseFor("crm", "a/deleted", "c/deleted")
	for _, want := range []struct {
		consumer, identity string
		state              queue.State
		erased             bool
	}{
		{"crm", "a", queue.Delivered, true}, {"default", "a", queue.Erased, true}, {"crm", "edit of a", queue.Erased, true},
		{"crm", "b", queue.Erased, true}, {"crm", "c", queue.Erased, true}, {"crm", "after", queue.Pending, false},
		{"crm", "a/deleted", queue.Pending, false},
	} {
		if e := s.findFor(want.consumer, want.identity); e.State != want.state || e.ErasedAt.IsZero() == want.erased || (e.Size == 0) != want.erased {
			t.Errorf("%s of %s is %s", want.identity, want.consumer, describe(e))
		}
	}
	if e := s.find("a"); e.ErasedBecause != queue.BecauseTakenBack {
		t.Errorf("erased because %q", e.ErasedBecause)
	}
	if d := s.acceptFor(both, message("a/deleted", "1", "1/a", true)); d == nil || s.find("after").Size == 0 {
		t.Errorf("taken back again: %v", d)
	}
}
