package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	if err := s.Join(s.t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		s.t.Fatalf("joining: %v", err)
	}
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
	duplicates, err := s.Accept(s.t.Context(), records, queue.Admission{Dedupe: window})
	if err != nil {
		s.t.Fatalf("accepting: %v", err)
	}
	return duplicates
}

// lease leases what is due now, at most limit. A microsecond passes when that is
// less. It is for bubbles.
func (s *store) lease(limit int) (events []*queue.Event) {
	s.t.Helper()
	for len(events) < limit {
		waiting, cancel := context.WithTimeout(s.t.Context(), time.Microsecond)
		more, _, err := s.Lease(waiting, queue.DefaultConsumer, limit-len(events))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			s.t.Fatalf("leasing: %v", err)
		}
		events = append(events, more...)
	}
	return events
}

// expectLease leases what is due now, and fails if those are others than want.
func (s *store) expectLease(want ...string) []*queue.Event {
	s.t.Helper()
	events := s.lease(100)
	if got := identities(events); !slices.Equal(got, want) {
		s.t.Fatalf("leased %q, want %q", got, want)
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

func (s *store) stats() queue.Stats {
	s.t.Helper()
	stats, err := s.Stats(s.t.Context())
	if err != nil {
		s.t.Fatalf("stats: %v", err)
	}
	return queue.StatsOf(stats, queue.DefaultConsumer)
}

func (s *store) expectStats(want queue.Stats) {
	s.t.Helper()
	got := s.stats()
	if !got.Oldest.Equal(want.Oldest) {
		s.t.Errorf("the oldest event is of %s, want %s", got.Oldest, want.Oldest)
	}
	want.Consumer = queue.DefaultConsumer
	if got.Oldest = want.Oldest; got != want {
		s.t.Errorf("stats %+v, want %+v", got, want)
	}
}

// identities returns those of events.
func identities(events []*queue.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Identity)
	}
	return all
}

// everything selects all that there is of all events.
var everything = queue.Filter{Bodies: true, OldestFirst: true, History: true}

// outline describes what the store holds without ids and times, the oldest first.
func (s *store) outline() string {
	s.t.Helper()
	holds, err := outlineOf(s.t.Context(), s.Store)
	if err != nil {
		s.t.Fatalf("outlining: %v", err)
	}
	return holds
}

// outlineOf describes what a store holds without ids and times, the oldest first.
func outlineOf(ctx context.Context, s queue.Store) (string, error) {
	events, err := s.List(ctx, everything)
	if err != nil {
		return "", err
	}
	stats, err := s.Stats(ctx)
	return outline(pointers(events), stats), err
}

func pointers(events []queue.Event) (all []*queue.Event) {
	for i := range events {
		all = append(all, &events[i])
	}
	return all
}

// outline describes events and consumers without ids and times.
func outline(events []*queue.Event, stats []queue.Stats) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s: %s/%s %d %s %s %d %q, %d attempts",
			e.Consumer, e.Identity, e.Conversation, len(e.Body), e.State, e.Lane, e.Attempts, e.LastError, len(e.History)))
	}
	for _, c := range stats {
		all = append(all, fmt.Sprintf("%s: paused %t, %d pending of %d bytes, %d dead, %d delivered",
			c.Consumer, c.Paused, c.Pending, c.PendingBytes, c.Dead, c.Delivered))
	}
	return strings.Join(all, "\n")
}
