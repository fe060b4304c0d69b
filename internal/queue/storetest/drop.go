package storetest

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// pauseLeasesNothing keeps a consumer from getting events until the pause is ended, over a
// reopen. What is leased already can be settled, and others are not paused.
func pauseLeasesNothing(t *testing.T, s *store) {
	s.join(crm)
	s.acceptFor(both, record("a", "1"), record("b", "1"), record("c", "2"))
	leased := s.expectLeaseFor("crm", "a", "c")
	s.pause("crm", true)
	s.pause("crm", true)
	s.deliver(leased[0])
	s.release(leased[1])
	s.expectLeaseFor("crm")
	s.deliver(s.expectLease("a", "c")[0])
	s.expectRequeue(1, queue.Filter{Consumer: "crm", State: queue.Delivered}, 0)
	s.expectLeaseFor("crm")
	s.reopen()
	stats := s.statsFor("crm")
	if !stats.Paused || stats.Pending != 3 || stats.InFlight != 0 || s.stats().Paused {
		t.Errorf("stats %+v", stats)
	}
	s.acceptFor(both, record("d", ""))
	s.expectLeaseFor("crm")
	s.expectLease("b", "c", "d")
	s.pause("crm", false)
	s.reopen()
	if s.statsFor("crm").Paused {
		t.Error("paused again")
	}
	s.expectLeaseFor("crm", "b", "c", "d")
}

// pauseEnds wakes a Lease that waits when the pause ends, and not before.
func pauseEnds(t *testing.T, s *store) {
	s.join(crm)
	s.pause("crm", true)
	leased := make(chan []*queue.Event, 1)
	go func() {
		events, _, err := s.Lease(t.Context(), "crm", 5)
		if err != nil {
			t.Error(err)
		}
		leased <- events
	}()
	synctest.Wait()
	s.acceptFor(both, record("a", ""))
	synctest.Wait()
	s.pause(queue.DefaultConsumer, true)
	s.pause(queue.DefaultConsumer, false)
	time.Sleep(time.Hour)
	if len(leased) > 0 {
		t.Fatalf("leased %q during the pause", identities(<-leased))
	}
	resumed := time.Now()
	s.pause("crm", false)
	if got := identities(<-leased); fmt.Sprint(got) != "[a]" || !time.Now().Equal(resumed) {
		t.Errorf("leased %q %s after the pause", got, time.Since(resumed))
	}
}

// dropFrees forgets what only the consumer had that is dropped, and nothing else.
func dropFrees(t *testing.T, s *store) {
	s.join(crm, bot)
	s.acceptFor(both, record("a", "1"), record("b", "1"))
	s.acceptFor([]string{"crm"}, record("c", "1"), record("d", "2"), record("e", ""))
	s.acceptFor([]string{"bot", "crm"}, record("f", ""))
	for i, e := range s.expectLeaseFor("crm", "a", "d", "e", "f") {
		s.settle(e, queue.Outcome{State: []queue.State{queue.Pending, queue.Dead, queue.Delivered, queue.Pending}[i]})
	}
	s.deliver(s.expectLease("a")[0])
	s.drop("crm")
	s.check()
	s.expectList(queue.Filter{OldestFirst: true, Bodies: true}, "default/a", "default/b", "bot/f")
	s.reopen()
	s.expectList(queue.Filter{OldestFirst: true, Bodies: true}, "default/a", "default/b", "bot/f")
	stats, err := s.Stats(t.Context())
	if err != nil || len(stats) != 2 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	if d := s.acceptFor(nil, record("c", ""), record("d", "")); fmt.Sprint(d) != "[true true]" {
		t.Errorf("duplicates %v of what was dropped", d)
	}
	s.join(queue.Consumer{Name: "archive", FromKept: true})
	s.expectLeaseFor("archive", "a", "f")
	s.expectLease("b")
	s.expectLeaseFor("bot", "f")
	s.expire(queue.Retention{Dedupe: window})
	s.check()
}

// dropWhileUsed refuses to drop a consumer that has an event leased. A Lease that waits
// for a consumer ends when that is dropped.
func dropWhileUsed(t *testing.T, s *store) {
	s.join(crm)
	s.acceptFor(both, record("a", ""))
	a := s.expectLeaseFor("crm", "a")[0]
	before := s.outline()
	if err := s.Drop(t.Context(), "crm"); !errors.Is(err, queue.ErrLeased) {
		t.Errorf("dropped while an event is leased: %v", err)
	}
	if after := s.outline(); after != before {
		t.Errorf("the store holds\n%s\nwant\n%s", after, before)
	}
	s.expectLease("a") // a lease for others is no obstacle
	s.fail(a, time.Hour)
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.Lease(t.Context(), "crm", 1)
		ended <- err
	}()
	synctest.Wait()
	dropped := time.Now()
	s.drop("crm")
	if err := <-ended; !errors.Is(err, queue.ErrNoConsumer) || !time.Now().Equal(dropped) {
		t.Errorf("waited for %s: %v", time.Since(dropped), err)
	}
	if err := s.Drop(t.Context(), "crm"); !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("dropped twice: %v", err)
	}
}

// dropAndJoin has a consumer join that was dropped: it begins anew.
func dropAndJoin(t *testing.T, s *store) {
	s.join(queue.Consumer{Name: "crm", Order: queue.Unordered})
	s.acceptFor(both, record("a", "1"), record("b", "1"))
	s.acceptFor([]string{"crm"}, record("c", "1"))
	s.fail(s.expectLeaseFor("crm", "a", "b", "c")[0], time.Hour)
	s.reopen()
	s.pause("crm", true)
	s.drop("crm")
	s.join(crm)
	s.expectStats(queue.Stats{Consumer: "crm"})
	s.acceptFor(both, record("d", "1"), record("e", "1"))
	s.deliver(s.expectLeaseFor("crm", "d")[0])
	s.expectLeaseFor("crm", "e")
	s.reopen()
	s.drop("crm")
	s.join(queue.Consumer{Name: "crm", FromKept: true})
	for _, identity := range []string{"a", "b", "d", "e"} {
		e := s.expectLeaseFor("crm", identity)[0]
		if e.Attempts != 0 || e.Lane != queue.Live {
			t.Errorf("leased %s", describe(e))
		}
		s.deliver(e)
	}
	s.expectStats(queue.Stats{Consumer: "crm", Delivered: 4})
	s.expectLease("a")
}
