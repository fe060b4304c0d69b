package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// window is for how long identities are known in most tests.
const window = time.Hour

// store is a store under test, and what tests do with it all the time. Its methods
// fail the test when the store returns an error.
type store struct {
	queue.Store
	t      *testing.T
	opener Opener
}

func (s *store) open() {
	s.t.Helper()
	var err error
	if s.Store, err = s.opener.Open(); err != nil {
		s.t.Fatalf("opening: %v", err)
	}
	s.join(queue.Consumer{Name: queue.DefaultConsumer})
}

// reopen closes the store, and opens it again.
func (s *store) reopen() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatalf("closing: %v", err)
	}
	s.open()
}

// record returns an event of a conversation, or of none if order is empty.
func record(identity, order string) queue.Record {
	return queue.Record{
		Identity: identity, Conversation: order, Account: "17841400000000001", Field: "comments",
		URL: "https://hooks.example.com/webhooks", Origin: "10.0.0.5:4711?trusted=1",
		Secret: "instagram", Signature: [32]byte{1, 2, 3},
		Body: []byte(`{"id":"` + identity + `"}`),
	}
}

// batch returns a delivery of n events, each of a conversation of its own.
func batch(name string, n int) []queue.Record {
	records := make([]queue.Record, n)
	for i := range records {
		identity := fmt.Sprint(name, " ", i)
		records[i] = record(identity, identity)
	}
	return records
}

// accept stores events, and returns which are duplicates.
func (s *store) accept(records ...queue.Record) []bool {
	s.t.Helper()
	return s.acceptFor(nil, records...)
}

// acceptFor stores events for some consumers.
func (s *store) acceptFor(consumers []string, records ...queue.Record) []bool {
	s.t.Helper()
	duplicates, err := s.Accept(s.t.Context(), records, queue.Admission{Consumers: consumers, Dedupe: window})
	if err != nil {
		s.t.Fatalf("accepting: %v", err)
	}
	return duplicates
}

// join has consumers join.
func (s *store) join(consumers ...queue.Consumer) {
	s.t.Helper()
	if err := s.Join(s.t.Context(), consumers); err != nil {
		s.t.Fatalf("joining: %v", err)
	}
}

func (s *store) lease(limit int) []*queue.Event {
	s.t.Helper()
	return s.leaseFor(queue.DefaultConsumer, limit)
}

// leaseFor leases what is due for a consumer now, at most limit. A microsecond passes
// when that is less. It is for bubbles.
func (s *store) leaseFor(consumer string, limit int) (events []*queue.Event) {
	s.t.Helper()
	for len(events) < limit {
		waiting, cancel := context.WithTimeout(s.t.Context(), time.Microsecond)
		more, _, err := s.Lease(waiting, consumer, limit-len(events))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			s.t.Fatalf("leasing for %s: %v", consumer, err)
		}
		events = append(events, more...)
	}
	return events
}

// expectLease leases what is due now, and fails if those are others than want.
func (s *store) expectLease(want ...string) []*queue.Event {
	s.t.Helper()
	return s.expectLeaseFor(queue.DefaultConsumer, want...)
}

func (s *store) expectLeaseFor(consumer string, want ...string) []*queue.Event {
	s.t.Helper()
	events := s.leaseFor(consumer, 100)
	if got := identities(events); !slices.Equal(got, want) {
		s.t.Fatalf("leased %q for %s, want %q", got, consumer, want)
	}
	return events
}

func (s *store) settle(e *queue.Event, o queue.Outcome) {
	s.t.Helper()
	if err := s.Settle(s.t.Context(), e, o); err != nil {
		s.t.Fatalf("settling %s: %v", e.Identity, err)
	}
}

func (s *store) deliver(e *queue.Event) {
	s.t.Helper()
	s.settle(e, queue.Outcome{State: queue.Delivered})
}

func (s *store) bury(e *queue.Event) {
	s.t.Helper()
	s.settle(e, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "410"}})
}

func (s *store) release(e *queue.Event) {
	s.t.Helper()
	s.settle(e, queue.Outcome{Released: true})
}

// fail settles an attempt that failed; another follows after a while.
func (s *store) fail(e *queue.Event, after time.Duration) {
	s.t.Helper()
	s.settle(e, queue.Outcome{State: queue.Pending, Due: now().Add(after), Attempt: queue.Attempt{Ended: now(), Error: "500"}})
}

// settleAll settles many events at the same time, in few transactions.
func (s *store) settleAll(events []*queue.Event, o queue.Outcome) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, e := range events {
		all.Go(func() {
			if err := s.Settle(s.t.Context(), e, o); err != nil {
				s.t.Errorf("settling %s: %v", e.Identity, err)
			}
		})
	}
	all.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

func (s *store) expectRequeue(want int, f queue.Filter, interval time.Duration) {
	s.t.Helper()
	if n, err := s.Requeue(s.t.Context(), f, interval); n != want || err != nil {
		s.t.Fatalf("requeued %d events, want %d: %v", n, want, err)
	}
}

func (s *store) discard(e *queue.Event) {
	s.t.Helper()
	if err := s.Discard(s.t.Context(), "", e.ID); err != nil {
		s.t.Fatalf("discarding %s: %v", e.Identity, err)
	}
}

// expire forgets all that is to be forgotten.
func (s *store) expire(r queue.Retention) {
	s.t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.Expire(s.t.Context(), r); err != nil {
			s.t.Fatalf("expiring: %v", err)
		}
	}
}

func (s *store) list(f queue.Filter) []queue.Event {
	s.t.Helper()
	events, err := s.List(s.t.Context(), f)
	if err != nil && !noneSelected(f, err) {
		s.t.Fatalf("listing: %v", err)
	}
	return events
}

// noneSelected reports whether an error of List says that there is no event with
// the ID: a store may do so instead of returning none.
func noneSelected(f queue.Filter, err error) bool {
	return f.ID != 0 && errors.Is(err, queue.ErrNotFound)
}

// find returns the event with an identity.
func (s *store) find(identity string) *queue.Event {
	s.t.Helper()
	for _, e := range s.list(queue.Filter{}) {
		if e.Identity == identity {
			return &e
		}
	}
	s.t.Fatalf("the store does not hold %s", identity)
	return nil
}

// findFor returns the event of a consumer with an identity, and its history.
func (s *store) findFor(consumer, identity string) *queue.Event {
	s.t.Helper()
	for _, e := range s.list(queue.Filter{Consumer: consumer, History: true}) {
		if e.Identity == identity {
			return &e
		}
	}
	s.t.Fatalf("the store does not hold %s for %s", identity, consumer)
	return nil
}

func (s *store) stats() queue.Stats {
	s.t.Helper()
	return s.statsFor(queue.DefaultConsumer)
}

func (s *store) statsFor(consumer string) queue.Stats {
	s.t.Helper()
	stats, err := s.Stats(s.t.Context())
	if err != nil {
		s.t.Fatalf("stats: %v", err)
	}
	return queue.StatsOf(stats, consumer)
}

func (s *store) expectStats(want queue.Stats) {
	s.t.Helper()
	want.Consumer = cmp.Or(want.Consumer, queue.DefaultConsumer)
	got := s.statsFor(want.Consumer)
	if !got.Oldest.Equal(want.Oldest) {
		s.t.Errorf("the oldest event of %s is of %s, want %s", want.Consumer, got.Oldest, want.Oldest)
	}
	if got.Oldest = want.Oldest; got != want {
		s.t.Errorf("stats %+v, want %+v", got, want)
	}
}

func (s *store) pause(consumer string, paused bool) {
	s.t.Helper()
	if err := s.Pause(s.t.Context(), consumer, paused); err != nil {
		s.t.Fatalf("pause %t of %s: %v", paused, consumer, err)
	}
}

func (s *store) drop(consumer string) {
	s.t.Helper()
	if err := s.Drop(s.t.Context(), consumer); err != nil {
		s.t.Fatalf("dropping %s: %v", consumer, err)
	}
}

// expectList fails if the filter selects others than want: consumers and identities, with
// a slash between them.
func (s *store) expectList(f queue.Filter, want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.list(f) {
		got = append(got, e.Consumer+"/"+e.Identity)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("filter %+v selects %q, want %q", f, got, want)
	}
}
