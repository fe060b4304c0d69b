package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// listPages lists more events than a store would read in one step: all at once, in
// pages, and such that match rarely.
func listPages(t *testing.T, s *store) {
	const total, rarely = 1300, 601
	records := batch("a", total)
	for i := range records {
		if i%rarely == 0 {
			records[i].Field = "messages"
		}
	}
	s.accept(records...)
	s.settleAll(s.lease(total/2), queue.Outcome{State: queue.Delivered})
	ids := func(f queue.Filter) (all []uint64) {
		t.Helper()
		for _, e := range s.list(f) {
			all = append(all, e.ID)
		}
		return all
	}
	oldest := ids(queue.Filter{OldestFirst: true})
	if len(oldest) != total || !slices.IsSorted(oldest) || len(slices.Compact(slices.Clone(oldest))) != total {
		t.Fatalf("%d events are listed, the oldest first, want %d", len(oldest), total)
	}
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	if got := ids(queue.Filter{}); !slices.Equal(got, newest) {
		t.Error("the newest first are others than the oldest first")
	}
	var pages []uint64
	for before := uint64(0); len(pages) <= total; {
		page := ids(queue.Filter{Before: before, Limit: 199})
		if len(page) == 0 {
			break
		}
		pages = append(pages, page...)
		before = page[len(page)-1]
	}
	if !slices.Equal(pages, newest) {
		t.Error("the pages differ from the whole, the newest first")
	}
	pages = nil
	for after := uint64(0); len(pages) <= total; {
		page := ids(queue.Filter{After: after, Limit: 199, OldestFirst: true})
		if len(page) == 0 {
			break
		}
		pages = append(pages, page...)
		after = page[len(page)-1]
	}
	if !slices.Equal(pages, oldest) {
		t.Error("the pages differ from the whole, the oldest first")
	}
	for _, c := range []struct {
		filter queue.Filter
		want   []uint64
	}{
		{queue.Filter{OldestFirst: true, After: oldest[600], Before: oldest[609], Limit: 3}, oldest[601:604]},
		{queue.Filter{Field: "messages"}, []uint64{oldest[2*rarely], oldest[rarely], oldest[0]}},
		{queue.Filter{Field: "messages", OldestFirst: true, Limit: 2}, []uint64{oldest[0], oldest[rarely]}},
		{queue.Filter{Field: "messages", After: oldest[0], Before: oldest[2*rarely]}, []uint64{oldest[rarely]}},
		{queue.Filter{State: queue.Delivered, OldestFirst: true}, oldest[:total/2]},
		{queue.Filter{State: queue.Pending, OldestFirst: true}, oldest[total/2:]},
		{queue.Filter{State: queue.Dead}, nil},
	} {
		if got := ids(c.filter); !slices.Equal(got, c.want) {
			t.Errorf("filter %+v selects %d: %.200s", c.filter, len(got), fmt.Sprint(got))
		}
	}
}

// listFilters selects events by each part of a filter, and by several.
func listFilters(t *testing.T, s *store) {
	begin := now()
	for _, r := range []struct{ identity, field, account string }{
		{"a", "comments", "1"}, {"b", "messages", "1"}, {"c", "comments", "2"}, {"d", "messages", "2"}, {"e", "comments", "1"},
	} {
		e := record(r.identity, "")
		e.Field, e.Account, e.Conversation = r.field, r.account, r.identity+"/%"
		s.accept(e)
		time.Sleep(time.Minute)
	}
	leased := s.expectLease("a", "b", "c", "d", "e")
	s.deliver(leased[0])
	s.bury(leased[1])
	s.fail(leased[2], time.Hour)
	s.release(leased[3]) // e stays leased
	a, c, e := leased[0].ID, leased[2].ID, leased[4].ID
	if last, err := s.Last(t.Context()); err != nil || last < e {
		t.Errorf("the highest id is %d %v, want at least %d", last, err, e)
	}
	for _, tc := range []struct {
		filter queue.Filter
		want   string
	}{
		{queue.Filter{}, "edcba"},
		{queue.Filter{OldestFirst: true}, "abcde"},
		{queue.Filter{Limit: 2}, "ed"},
		{queue.Filter{Limit: 2, OldestFirst: true}, "ab"},
		{queue.Filter{ID: c}, "c"},
		{queue.Filter{ID: c, State: queue.Dead}, ""},
		{queue.Filter{State: queue.Pending}, "edc"},
		{queue.Filter{State: queue.Delivered}, "a"},
		{queue.Filter{State: queue.Dead}, "b"},
		{queue.Filter{Field: "comments"}, "eca"},
		{queue.Filter{Account: "1"}, "eba"},
		{queue.Filter{Field: "comments", Account: "1"}, "ea"},
		{queue.Filter{Field: "comments", Account: "1", State: queue.Delivered}, "a"},
		{queue.Filter{Field: "mentions"}, ""},
		{queue.Filter{Conversation: "b/%"}, "b"},
		{queue.Filter{Conversation: "b/"}, ""},
		{queue.Filter{Error: "50"}, "c"},
		{queue.Filter{Error: "410"}, "b"},
		{queue.Filter{Error: "5%0"}, ""},
		{queue.Filter{Error: "10"}, ""},
		{queue.Filter{Error: "410", State: queue.Delivered}, ""},
		{queue.Filter{Error: "410", State: queue.Dead}, "b"},
		{queue.Filter{Since: begin}, "edcba"},
		{queue.Filter{Since: begin.Add(2 * time.Minute)}, "edc"},
		{queue.Filter{Since: begin.Add(2*time.Minute + time.Microsecond)}, "ed"},
		{queue.Filter{Since: begin.Add(time.Hour)}, ""},
		{queue.Filter{After: a}, "edcb"},
		{queue.Filter{Before: c}, "ba"},
		{queue.Filter{After: a, Before: e, OldestFirst: true, Limit: 2}, "bc"},
		{queue.Filter{After: e}, ""},
		{queue.Filter{Before: a}, ""},
	} {
		for _, bodies := range []bool{false, true} {
			tc.filter.Bodies = bodies
			got := ""
			for _, e := range s.list(tc.filter) {
				got += e.Identity
				want := string(record(e.Identity, "").Body)
				if e.Size != len(want) || bodies && string(e.Body) != want || !bodies && e.Body != nil {
					t.Errorf("%s has the body %q of %d bytes, want it: %t", e.Identity, e.Body, e.Size, bodies)
				}
			}
			if got != tc.want {
				t.Errorf("filter %+v selects %q, want %q", tc.filter, got, tc.want)
			}
		}
	}
}

// expireInSteps forgets many events, more than a store would in one step, each at
// its time: not a microsecond earlier, and nothing that waits.
func expireInSteps(t *testing.T, s *store) {
	const total = 2100
	begin := now()
	s.accept(batch("a", total)...)
	s.settleAll(s.lease(total), queue.Outcome{State: queue.Delivered})
	s.accept(batch("b", 3)...)
	s.settleAll(s.lease(3), queue.Outcome{State: queue.Dead})
	waiting := batch("c", 2)
	s.accept(waiting...)
	retention := queue.Retention{Delivered: time.Hour, Dead: 2 * time.Hour, Dedupe: 48 * time.Hour}
	expect := func(dead, delivered int64) {
		t.Helper()
		s.expectStats(queue.Stats{
			Pending: 2, PendingBytes: int64(2 * len(waiting[0].Body)), Oldest: begin,
			Dead: dead, Delivered: delivered,
		})
		s.check()
	}
	step := func() (more bool) {
		t.Helper()
		more, err := s.Expire(t.Context(), retention)
		if err != nil {
			t.Fatal(err)
		}
		return more
	}
	time.Sleep(time.Hour - time.Microsecond)
	if step() {
		t.Error("there is more to forget, though nothing is old enough")
	}
	expect(3, total)
	time.Sleep(time.Microsecond)
	for last := int64(total); step(); {
		left := s.stats().Delivered
		if left >= last {
			t.Fatalf("there is more to forget, but nothing was: %d are left", left)
		}
		last = left
	}
	expect(3, 0)
	if step() {
		t.Error("there is more to forget, but nothing is left")
	}
	time.Sleep(time.Hour - time.Microsecond)
	s.expire(retention)
	expect(3, 0)
	time.Sleep(time.Microsecond)
	s.expire(retention)
	expect(0, 0)
	if got := len(s.lease(10)); got != 2 {
		t.Errorf("%d events are left to lease, want 2", got)
	}
}

// requeuedIsNotExpired requeues events whose time is over: they are kept from then.
func requeuedIsNotExpired(_ *testing.T, s *store) {
	begin := now()
	s.accept(record("a", ""), record("b", ""))
	for _, e := range s.expectLease("a", "b") {
		s.bury(e)
	}
	time.Sleep(10 * time.Hour)
	s.expectRequeue(1, queue.Filter{ID: s.find("a").ID}, 0)
	retention := queue.Retention{Dead: time.Hour}
	s.expire(retention)
	a := s.expectLease("a")[0]
	s.expectStats(queue.Stats{Pending: 1, PendingBytes: int64(a.Size), InFlight: 1, Oldest: begin})
	s.bury(a)
	s.expire(retention)
	s.expectStats(queue.Stats{Dead: 1})
	time.Sleep(time.Hour)
	s.expire(retention)
	s.expectStats(queue.Stats{})
}

// statsAreExact counts after each step of a few events.
func statsAreExact(_ *testing.T, s *store) {
	size := int64(len(record("a", "").Body))
	s.expectStats(queue.Stats{})
	first := now()
	s.accept(record("a", "1"), record("b", "1"))
	time.Sleep(time.Second)
	second := now()
	s.accept(record("c", ""), record("a", "1"))
	s.expectStats(queue.Stats{Pending: 3, PendingBytes: 3 * size, Oldest: first})
	leased := s.expectLease("a", "c")
	a, c := leased[0], leased[1]
	s.expectStats(queue.Stats{Pending: 3, PendingBytes: 3 * size, InFlight: 2, Oldest: first})
	s.release(c)
	s.expectStats(queue.Stats{Pending: 3, PendingBytes: 3 * size, InFlight: 1, Oldest: first})
	s.fail(a, time.Hour)
	s.expectStats(queue.Stats{Pending: 3, PendingBytes: 3 * size, Oldest: first})
	s.discard(a)
	s.expectStats(queue.Stats{Pending: 2, PendingBytes: 2 * size, Oldest: first})
	for _, e := range s.lease(2) {
		if e.Identity == "b" {
			s.bury(e)
		} else {
			s.release(e)
		}
	}
	s.expectStats(queue.Stats{Pending: 1, PendingBytes: size, Dead: 1, Oldest: second})
	s.deliver(s.expectLease("c")[0])
	s.expectStats(queue.Stats{Dead: 1, Delivered: 1})
	s.reopen()
	s.expectStats(queue.Stats{Dead: 1, Delivered: 1})
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, time.Hour)
	s.expectStats(queue.Stats{Pending: 1, PendingBytes: size, Delivered: 1, Oldest: first})
	s.discard(s.find("c"))
	s.expectStats(queue.Stats{Pending: 1, PendingBytes: size, Oldest: first})
}
