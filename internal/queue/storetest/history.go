package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// historyOfAttempts keeps the last attempts of an event for each consumer, over requeues.
func historyOfAttempts(t *testing.T, s *store) {
	s.join(crm)
	s.acceptFor(both, record("a", ""))
	var want []queue.Attempt
	attempt := func(state queue.State) {
		t.Helper()
		e := s.expectLease("a")[0]
		time.Sleep(time.Second)
		a := queue.Attempt{
			Ended: now(), Took: time.Duration(len(want)) * time.Millisecond, Status: 500 + len(want),
			Error: fmt.Sprint("error ", len(want)), Answer: fmt.Appendf(nil, "answer \xff\x00 %d", len(want)),
		}
		if state == queue.Delivered {
			a.Status, a.Error, a.Answer = 200, "", nil
		}
		s.settle(e, queue.Outcome{State: state, Due: now(), Attempt: a})
		want = append(want, a)
	}
	expect := func() {
		t.Helper()
		with := *s.findFor(queue.DefaultConsumer, "a")
		got := describeHistory(&with)
		with.History = want[max(0, len(want)-queue.MaxHistory):]
		if want := describeHistory(&with); got != want {
			t.Errorf("the history is%s\nwant%s", got, want)
		}
	}
	expect()
	attempt(queue.Pending)
	attempt(queue.Pending)
	s.release(s.expectLease("a")[0]) // is none
	attempt(queue.Dead)
	expect()
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, 0)
	expect()
	attempt(queue.Delivered)
	s.reopen()
	expect()
	s.expectRequeue(1, queue.Filter{State: queue.Delivered}, 0)
	for range queue.MaxHistory - 4 {
		attempt(queue.Pending)
	}
	expect() // as many as are kept
	attempt(queue.Pending)
	attempt(queue.Delivered)
	expect()
	s.reopen()
	expect()
	if e := s.list(queue.Filter{Consumer: queue.DefaultConsumer})[0]; e.History != nil {
		t.Errorf("%d attempts are listed, though they were not asked for", len(e.History))
	}
	s.deliver(s.expectLeaseFor("crm", "a")[0])
	if e := s.findFor("crm", "a"); len(e.History) != 0 {
		t.Errorf("delivered by the first attempt: %s", describe(e))
	}
	tried := func(e queue.Event) bool { return len(e.History) > 0 }
	if !slices.ContainsFunc(s.list(queue.Filter{History: true}), tried) {
		t.Error("no attempts are listed for all consumers")
	}
}
