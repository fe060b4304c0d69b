package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

var (
	crm  = queue.Consumer{Name: "crm"}
	bot  = queue.Consumer{Name: "bot"}
	both = []string{queue.DefaultConsumer, "crm"}
)

// oneIsDown has all attempts for one consumer fail: the other goes on, in the same
// conversation.
func oneIsDown(t *testing.T, s *store) {
	s.join(crm)
	begin := now()
	size := int64(len(record("a", "").Body))
	for _, identity := range []string{"a", "b", "c"} {
		s.acceptFor(both, record(identity, "1"))
		if identity == "a" {
			s.fail(s.expectLease("a")[0], time.Hour)
		}
		s.expectLease()
		s.deliver(s.expectLeaseFor("crm", identity)[0])
	}
	s.expectStats(queue.Stats{Pending: 3, PendingBytes: 3 * size, Oldest: begin})
	s.expectStats(queue.Stats{Consumer: "crm", Delivered: 3})
	time.Sleep(time.Hour)
	s.bury(s.expectLease("a")[0])
	if e := s.findFor("crm", "a"); e.State != queue.Delivered || e.Attempts != 1 || e.LastError != "" {
		t.Errorf("dead for another: %s", describe(e))
	}
	s.expectLease("b")
	s.expectLeaseFor("crm")
}

// bodiesAreShared has each consumer read the body, after others have it or gave it up.
func bodiesAreShared(t *testing.T, s *store) {
	s.join(crm, bot)
	r := record("a", "")
	r.Body = append(r.Body, make([]byte, 100<<10)...)
	s.acceptFor([]string{"bot", "crm", queue.DefaultConsumer}, r)
	for _, consumer := range []string{"crm", queue.DefaultConsumer, "bot"} {
		e := s.expectLeaseFor(consumer, "a")[0]
		if string(e.Body) != string(r.Body) || e.Consumer != consumer || e.Signature != r.Signature || e.URL != r.URL {
			t.Errorf("leased for %s: %.999s", consumer, describe(e))
		}
		s.deliver(e)
		if consumer != "bot" {
			s.expire(queue.Retention{})
		}
	}
	if got := s.list(queue.Filter{Bodies: true}); len(got) != 1 || string(got[0].Body) != string(r.Body) {
		t.Errorf("%d events are left, want that of bot, with its body", len(got))
	}
}

// forgottenByTheLast forgets an event for one consumer after the other. It is gone with
// the last: nobody can begin with it then.
func forgottenByTheLast(t *testing.T, s *store) {
	s.join(crm)
	s.acceptFor(both, record("a", ""), record("b", ""))
	for _, e := range s.expectLease("a", "b") {
		s.deliver(e)
	}
	ofCRM := s.expectLeaseFor("crm", "a", "b")
	s.bury(ofCRM[0])
	s.release(ofCRM[1])
	retention := queue.Retention{Delivered: time.Minute, Dead: 30 * time.Minute, Dedupe: window}
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{time.Minute - 2*time.Second, []string{"crm/a", "default/a", "crm/b", "default/b"}},
		{2 * time.Second, []string{"crm/a", "crm/b"}},
		{29 * time.Minute, []string{"crm/b"}},
	} {
		time.Sleep(step.after)
		s.expire(retention)
		s.expectList(queue.Filter{OldestFirst: true}, step.want...)
		s.check()
	}
	s.discard(ofCRM[1])
	s.expectList(queue.Filter{})
	if d := s.acceptFor(both, record("a", ""), record("b", "")); fmt.Sprint(d) != "[true true]" {
		t.Errorf("duplicates %v of what is forgotten", d)
	}
	s.join(queue.Consumer{Name: "bot", FromKept: true})
	s.expectStats(queue.Stats{Consumer: "bot"})
}

// eventsForSome accepts events that not all consumers of the delivery get, whose bits are
// in the order that the delivery names them.
func eventsForSome(t *testing.T, s *store) {
	s.join(crm, bot)
	var records []queue.Record
	for i, identity := range []string{"all", "first", "second", "first, second", "third", "second, third"} {
		r := record(identity, "")
		r.For = []uint64{0, 1, 2, 3, 4, 6}[i]
		records = append(records, r)
	}
	if d := s.acceptFor([]string{"default", "bot", "crm"}, records...); d != nil {
		t.Errorf("duplicates %v", d)
	}
	s.expectLease("all", "first", "first, second")
	s.expectLeaseFor("bot", "all", "second", "first, second", "second, third")
	s.expectLeaseFor("crm", "all", "third", "second, third")
	// A duplicate is one, whoever got the event.
	if d := s.acceptFor([]string{"crm"}, record("first", ""), record("new", "")); fmt.Sprint(d) != "[true false]" {
		t.Errorf("duplicates %v", d)
	}
	s.expectLeaseFor("crm", "new")
	s.expectLease()
}

// limitsOfTheFullest has limits hold for each consumer alone, for those that get something.
func limitsOfTheFullest(t *testing.T, s *store) {
	s.join(crm)
	s.acceptFor(both, record("a", ""), record("b", ""))
	s.acceptFor([]string{"crm"}, record("c", ""))
	before := s.outline()
	size := int64(len(record("a", "").Body))
	notForCRM := record("d", "")
	notForCRM.For = 1
	for _, c := range []struct {
		admission queue.Admission
		record    queue.Record
		fits      bool
	}{
		{queue.Admission{Consumers: both, MaxEvents: 3}, record("d", ""), false},
		{queue.Admission{Consumers: []string{"crm", "default"}, MaxBytes: 4*size - 1}, record("d", ""), false},
		{queue.Admission{Consumers: []string{"crm"}, MaxEvents: 3}, record("d", ""), false},
		{queue.Admission{Consumers: []string{"default"}, MaxEvents: 3}, record("d", ""), true},
		{queue.Admission{Consumers: both, MaxEvents: 3}, notForCRM, true},
		{queue.Admission{Consumers: both, MaxEvents: 4, MaxBytes: 4 * size}, record("d", ""), true},
	} {
		_, err := s.Accept(t.Context(), []queue.Record{c.record}, c.admission)
		if c.fits && err != nil || !c.fits && !errors.Is(err, queue.ErrFull) {
			t.Errorf("accepted %+v for bits %b: %v, want room: %t", c.admission, c.record.For, err, c.fits)
		}
		if err == nil {
			s.discard(s.find("d"))
		}
		if after := s.outline(); after != before {
			t.Errorf("the store holds\n%s\nwant\n%s", after, before)
		}
	}
}

// lanesOfEach has two consumers lease in turn: for each, its lanes take turns.
func lanesOfEach(t *testing.T, s *store) {
	const each = 10
	s.join(crm)
	s.acceptFor(both, batch("retried", each)...)
	for _, consumer := range both {
		s.settleAll(s.leaseFor(consumer, each), queue.Outcome{State: queue.Pending, Due: now()})
	}
	s.acceptFor(both, batch("live", each)...)
	count := make(map[string]int)
	for range each {
		for _, consumer := range both {
			for _, e := range s.leaseFor(consumer, 1) {
				count[fmt.Sprint(consumer, " ", e.Lane)]++
			}
		}
	}
	for _, consumer := range both {
		live, retried := count[consumer+" live"], count[consumer+" retried"]
		if live+retried != each || min(live, retried) < each/4 {
			t.Errorf("of %d events for %s, %d are live and %d retried", each, consumer, live, retried)
		}
	}
}

// filtersByConsumer lists, requeues and discards what one consumer has, and what all have.
func filtersByConsumer(t *testing.T, s *store) {
	s.join(crm)
	s.acceptFor(both, record("a", ""), record("b", ""), record("c", ""))
	s.acceptFor([]string{"crm"}, record("d", ""))
	s.settleAll(s.lease(10), queue.Outcome{State: queue.Dead})
	s.settleAll(s.leaseFor("crm", 10), queue.Outcome{State: queue.Dead})
	for _, c := range []struct {
		filter queue.Filter
		want   []string
	}{
		{queue.Filter{}, []string{"crm/d", "crm/c", "default/c", "crm/b", "default/b", "crm/a", "default/a"}},
		{queue.Filter{Limit: 2}, []string{"crm/d", "crm/c", "default/c"}},
		{queue.Filter{Limit: 2, OldestFirst: true}, []string{"crm/a", "default/a", "crm/b", "default/b"}},
		{queue.Filter{Consumer: "crm", Limit: 2}, []string{"crm/d", "crm/c"}},
		{queue.Filter{Consumer: "default", Limit: 2, OldestFirst: true}, []string{"default/a", "default/b"}},
		{queue.Filter{Consumer: "default", ID: s.find("d").ID}, nil},
		{queue.Filter{Consumer: "nobody"}, nil},
	} {
		s.expectList(c.filter, c.want...)
		c.filter.State = queue.Dead
		s.expectList(c.filter, c.want...)
	}
	s.expectRequeue(3, queue.Filter{Consumer: "default"}, 0)
	s.expectLeaseFor("crm")
	s.expectRequeue(0, queue.Filter{Consumer: "nobody"}, 0)
	s.expectRequeue(1, queue.Filter{Consumer: "crm", ID: s.find("a").ID}, 0)
	a := s.expectLeaseFor("crm", "a")[0]
	discard := func(consumer string, want error) {
		t.Helper()
		if err := s.Discard(t.Context(), consumer, a.ID); !errors.Is(err, want) {
			t.Errorf("discarded for %q: %v, want %v", consumer, err, want)
		}
	}
	discard("crm", queue.ErrLeased)
	discard("", queue.ErrLeased)
	discard("nobody", queue.ErrNotFound)
	s.expectList(queue.Filter{ID: a.ID}, "crm/a", "default/a")
	discard("default", nil)
	discard("default", queue.ErrNotFound)
	s.expectList(queue.Filter{ID: a.ID}, "crm/a")
	s.release(a)
	discard("", nil)
	s.expectList(queue.Filter{ID: a.ID})
	s.discard(s.find("b"))
	s.expectList(queue.Filter{}, "crm/d", "crm/c", "default/c")
}

// manyForTwo lists and requeues more events of two consumers than a store would in one
// step: no step ends between the consumers of an event.
func manyForTwo(t *testing.T, s *store) {
	const total = 1300
	s.join(crm)
	s.acceptFor([]string{"crm"}, record("alone", ""))
	s.acceptFor(both, batch("a", total)...)
	s.settleAll(s.lease(total), queue.Outcome{State: queue.Dead})
	s.settleAll(s.leaseFor("crm", total+1), queue.Outcome{State: queue.Dead})
	all := s.list(queue.Filter{OldestFirst: true})
	if len(all) != 2*total+1 {
		t.Fatalf("%d are listed, want %d", len(all), 2*total+1)
	}
	var pages []queue.Event
	for after := uint64(0); len(pages) < len(all); after = pages[len(pages)-1].ID {
		page := s.list(queue.Filter{OldestFirst: true, Limit: 100, After: after, State: queue.Dead})
		if len(page) == 0 {
			break
		}
		pages = append(pages, page...)
	}
	if got, want := describeAll(pointers(pages)), describeAll(pointers(all)); got != want {
		t.Errorf("the pages have %d events, and differ from the whole", len(pages))
	}
	s.expectRequeue(2*total+1, queue.Filter{}, time.Second)
	due := make(map[time.Time]bool)
	last := make(map[string]time.Time)
	for _, e := range s.list(queue.Filter{OldestFirst: true}) {
		if due[e.Due] || !e.Due.After(last[e.Consumer]) {
			t.Fatalf("requeued %s, when another is due or out of order", describe(&e))
		}
		due[e.Due], last[e.Consumer] = true, e.Due
	}
}

// unknownConsumer names one that never joined: nothing happens.
func unknownConsumer(t *testing.T, s *store) {
	s.accept(record("a", ""))
	before := s.outline()
	errs := make(map[string]error)
	for _, consumers := range [][]string{{"nobody"}, {queue.DefaultConsumer, "nobody"}} {
		admission := queue.Admission{Consumers: consumers, Dedupe: window}
		_, err := s.Accept(t.Context(), []queue.Record{record("b", "")}, admission)
		errs[fmt.Sprint("Accept for ", consumers)] = err
	}
	_, _, errs["Lease"] = s.Lease(t.Context(), "nobody", 1)
	errs["Pause"] = s.Pause(t.Context(), "nobody", true)
	errs["resuming"] = s.Pause(t.Context(), "nobody", false)
	errs["Drop"] = s.Drop(t.Context(), "nobody")
	for name, err := range errs {
		if !errors.Is(err, queue.ErrNoConsumer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := s.outline(); after != before {
		t.Errorf("the store holds\n%s\nwant\n%s", after, before)
	}
	if d := s.accept(record("b", "")); d != nil {
		t.Error("b is known, though it was refused")
	}
	// Whose lease it is counts: one for another consumer is none.
	s.join(crm)
	s.acceptFor([]string{"crm"}, record("c", ""))
	c := s.expectLeaseFor("crm", "c")[0]
	others := *c
	others.Consumer = queue.DefaultConsumer
	if err := s.Settle(t.Context(), &others, queue.Outcome{State: queue.Delivered}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("settled for another: %v", err)
	}
	s.deliver(c)
}
