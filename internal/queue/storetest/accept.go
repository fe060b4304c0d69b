package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// dedupeWithinASecret accepts the same event of two apps, in one delivery and one
// after another: neither is a duplicate of the other.
func dedupeWithinASecret(t *testing.T, s *store) {
	one, two, three := record("a", ""), record("a", ""), record("a", "")
	two.Secret, three.Secret = "two", "three"
	for _, c := range []struct {
		records []queue.Record
		want    []bool
	}{
		{[]queue.Record{one}, nil},
		{[]queue.Record{one, two, two}, []bool{true, false, true}},
		{[]queue.Record{two, three, one}, []bool{true, false, true}},
	} {
		if got := s.accept(c.records...); !slices.Equal(got, c.want) {
			t.Errorf("duplicates %v, want %v", got, c.want)
		}
	}
	s.expectLease("a", "a", "a")
}

// dedupeWithinADelivery has the same event twice in a delivery: the first counts.
func dedupeWithinADelivery(t *testing.T, s *store) {
	second := record("a", "")
	second.Body = []byte("another body")
	if got := s.accept(record("a", ""), second, record("b", ""), second); fmt.Sprint(got) != "[false true false true]" {
		t.Errorf("duplicates %v", got)
	}
	for _, e := range s.expectLease("a", "b") {
		if want := record(e.Identity, "").Body; string(e.Body) != string(want) {
			t.Errorf("body %s, want %s", e.Body, want)
		}
	}
}

// notDeduped accepts events again that are never duplicates.
func notDeduped(t *testing.T, s *store) {
	ambiguous := record("a", "")
	ambiguous.NotUnique = true
	for range 2 {
		if got := s.accept(ambiguous, ambiguous); got != nil {
			t.Errorf("an identity that is not unique: duplicates %v", got)
		}
	}
	if got := s.accept(record("a", "")); got != nil {
		t.Errorf("an event whose identity others had who were not unique: duplicates %v", got)
	}
	without := []queue.Record{record("b", ""), record("b", "")}
	for range 2 {
		if got, err := s.Accept(t.Context(), without, queue.Admission{}); got != nil || err != nil {
			t.Errorf("without dedupe: duplicates %v, %v", got, err)
		}
	}
	if got := s.stats().Pending; got != 9 {
		t.Errorf("%d events wait, want 9", got)
	}
}

// dedupeWindow accepts an event again just before and just after the end of the
// window, with expiry all the time.
func dedupeWindow(t *testing.T, s *store) {
	expect := func(identity string, want bool) {
		t.Helper()
		if d := s.accept(record(identity, "")); (d != nil) != want {
			t.Fatalf("%s accepted: duplicates %v, want %t", identity, d, want)
		}
	}
	accepted := make(map[string]time.Time)
	const step = 7 * time.Minute
	for n := range 60 {
		for identity, at := range accepted {
			if age := time.Since(at); age > window-step && age < window {
				time.Sleep(window - age - time.Microsecond)
				expect(identity, true)
				time.Sleep(time.Microsecond)
				expect(identity, false)
				delete(accepted, identity)
			}
		}
		identity := fmt.Sprint(n)
		expect(identity, false)
		expect(identity, true)
		accepted[identity] = time.Now()
		time.Sleep(step)
		s.expire(queue.Retention{Dedupe: window, Delivered: window, Dead: window})
	}
}

// dedupeOutlivesTheEvent accepts events again that were delivered and forgotten.
func dedupeOutlivesTheEvent(t *testing.T, s *store) {
	s.accept(record("a", ""), record("b", ""))
	for _, e := range s.expectLease("a", "b") {
		s.deliver(e)
	}
	s.discard(s.find("b"))
	s.expire(queue.Retention{Dedupe: window})
	if left := s.list(queue.Filter{}); len(left) != 0 {
		t.Errorf("%d events are left", len(left))
	}
	if d := s.accept(record("a", ""), record("b", "")); fmt.Sprint(d) != "[true true]" {
		t.Errorf("duplicates %v", d)
	}
}

// dedupeOverAReopen closes the store between an event and its duplicate.
func dedupeOverAReopen(t *testing.T, s *store) {
	s.accept(record("a", ""), record("b", ""))
	time.Sleep(window / 2)
	s.reopen()
	s.accept(record("c", ""))
	s.reopen()
	if d := s.accept(record("a", ""), record("c", ""), record("d", ""), record("b", "")); fmt.Sprint(d) != "[true true false true]" {
		t.Errorf("duplicates %v", d)
	}
	time.Sleep(window/2 - time.Microsecond)
	s.reopen()
	if d := s.accept(record("a", "")); d == nil {
		t.Error("forgotten before the window is over")
	}
	time.Sleep(time.Microsecond)
	if d := s.accept(record("a", ""), record("c", "")); fmt.Sprint(d) != "[false true]" {
		t.Errorf("duplicates %v at the end of the window", d)
	}
}

// refusedDelivery refuses a delivery as a whole, with its identities.
func refusedDelivery(t *testing.T, s *store) {
	s.accept(record("a", "1"), record("b", "1"))
	records := []queue.Record{record("a", "1"), record("c", "1"), record("d", "")}
	bytes := int64(len(records[0].Body))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx       context.Context
		admission queue.Admission
		want      error
		option    string
	}{
		{t.Context(), queue.Admission{Dedupe: window, MaxEvents: 3}, queue.ErrFull, "max_pending"},
		{t.Context(), queue.Admission{Dedupe: window, MaxBytes: 4*bytes - 1}, queue.ErrFull, "max_pending"},
		{ended, queue.Admission{Dedupe: window}, context.Canceled, ""},
	} {
		d, err := s.Accept(c.ctx, records, c.admission)
		if d != nil || !errors.Is(err, c.want) {
			t.Errorf("accepted with %+v: %v, %v", c.admission, d, err)
		} else if !strings.Contains(err.Error(), c.option) {
			t.Errorf("the error does not name the option %s: %v", c.option, err)
		}
	}
	// A duplicate needs no room.
	full := queue.Admission{Dedupe: window, MaxEvents: 1, MaxBytes: 1}
	if d, err := s.Accept(t.Context(), records[:1], full); fmt.Sprint(d) != "[true]" || err != nil {
		t.Errorf("a duplicate: %v, %v", d, err)
	}
	enough := queue.Admission{Dedupe: window, MaxEvents: 4, MaxBytes: 4 * bytes}
	if d, err := s.Accept(t.Context(), records, enough); fmt.Sprint(d) != "[true false false]" || err != nil {
		t.Errorf("accepted: %v, %v", d, err)
	}
}

// limitsCountWhatWaits has limits count the events that are pending, whatever
// their lane, and those only.
func limitsCountWhatWaits(t *testing.T, s *store) {
	n := 0
	expect := func(room bool) {
		t.Helper()
		n++
		identity := fmt.Sprintf("probe %d", n)
		_, err := s.Accept(t.Context(), []queue.Record{record(identity, "")}, queue.Admission{MaxEvents: 3})
		if room && err != nil || !room && !errors.Is(err, queue.ErrFull) {
			t.Fatalf("accepting %s: %v, want room: %t", identity, err, room)
		}
		if room {
			s.discard(s.find(identity))
		}
	}
	s.accept(record("a", ""), record("b", ""))
	expect(true)
	s.accept(record("c", ""))
	expect(false)
	leased := s.expectLease("a", "b", "c")
	expect(false)
	s.fail(leased[0], time.Hour)
	expect(false)
	s.bury(leased[1])
	expect(true)
	s.deliver(leased[2])
	expect(true)
	s.expectRequeue(1, queue.Filter{State: queue.Dead}, 0)
	s.expectRequeue(1, queue.Filter{State: queue.Delivered}, time.Hour)
	expect(false)
	s.reopen()
	expect(false)
	s.discard(s.find("a"))
	expect(true)
}

// bodiesMayChange changes a body once it was accepted, as its owner may.
func bodiesMayChange(t *testing.T, s *store) {
	r := record("a", "")
	want := string(r.Body)
	s.accept(r)
	clear(r.Body)
	if got := s.list(queue.Filter{Bodies: true}); string(got[0].Body) != want {
		t.Errorf("listed body %q, want %s", got[0].Body, want)
	}
	if got := s.expectLease("a"); string(got[0].Body) != want {
		t.Errorf("leased body %q, want %s", got[0].Body, want)
	}
}

// anyRecord accepts events with odd texts and bodies.
func anyRecord(t *testing.T, s *store) {
	all := "\x00\x01\xff\"'`%;\\ é😀"
	records := []queue.Record{
		{},
		{Identity: all, Conversation: all, Account: all, Field: all, URL: all, Origin: all, Secret: all, Body: []byte(all)},
		{Identity: strings.Repeat("long", 1000), Conversation: strings.Repeat("x", 5000), Body: make([]byte, 3<<20)},
	}
	for i := range records[1].Signature {
		records[1].Signature[i] = byte(255 - i)
	}
	s.accept(records...)
	listed := s.list(queue.Filter{Bodies: true, OldestFirst: true})
	if len(listed) != len(records) {
		t.Fatalf("%d events, want %d", len(listed), len(records))
	}
	for i, e := range listed {
		want := e
		want.Record, want.Size = records[i], len(records[i].Body)
		if got, want := describe(&e), describe(&want); got != want {
			t.Errorf("listed %.999s\nwant   %.999s", got, want)
		}
	}
	if got := s.list(queue.Filter{Field: all, Account: all}); len(got) != 1 {
		t.Errorf("%d events have the field and the account, want 1", len(got))
	}
}

// noEvents accepts a delivery without events.
func noEvents(t *testing.T, s *store) {
	if d := s.accept(); d != nil {
		t.Errorf("duplicates %v", d)
	}
	s.expectStats(queue.Stats{})
}

// freeIsWhatAcceptFinds keeps a start from being silent about deliveries that will
// be refused, and from warning of some that will not.
func freeIsWhatAcceptFinds(t *testing.T, s *store) {
	teller, ok := s.Store.(queue.SpaceTeller)
	if !ok {
		t.Skip("this store does not know how much room it has")
	}
	free, err := teller.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const leeway = 1 << 30 // other programs use the disk meanwhile
	accept := func(least int64) error {
		_, err := s.Accept(t.Context(), []queue.Record{record("a", "")}, queue.Admission{MinFree: least})
		return err
	}
	err = accept(min(free, math.MaxInt64-leeway) + leeway)
	if !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "min_free_space") {
		t.Errorf("got %v with more than what is free", err)
	}
	if err := accept(max(free-leeway, 0)); err != nil {
		t.Errorf("got %v with less than what is free", err)
	}
}
