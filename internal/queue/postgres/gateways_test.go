package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// openShared opens a queue and has the consumer default join.
func openShared(t *testing.T, o Options) *Store {
	t.Helper()
	s := open(t, o)
	if err := s.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func record(identity, conversation string) queue.Record {
	return queue.Record{Identity: identity, Conversation: conversation, Account: "1", Field: "messages", Secret: "instagram", Body: []byte(identity)}
}

func accept(t *testing.T, s *Store, records ...queue.Record) []bool {
	t.Helper()
	duplicates, err := s.Accept(t.Context(), records, queue.Admission{Dedupe: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return duplicates
}

// lease leases what is due within a time that is long enough.
func lease(t *testing.T, s *Store) (*queue.Event, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, valid, err := s.Lease(ctx, queue.DefaultConsumer, 1)
	if err != nil {
		t.Fatal(err)
	}
	return events[0], valid
}

// TestGatewaysKeepOrder has three gateways accept and deliver at the same time. Each
// event is delivered once, and those of a conversation one after another.
func TestGatewaysKeepOrder(t *testing.T) {
	t.Parallel()
	const conversations, each = 7, 40
	o := newShared(t, 10*time.Second)
	var gateways []*Store
	for range 3 {
		gateways = append(gateways, openShared(t, o))
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var mu sync.Mutex
	busy, last, total := make(map[string]bool), make(map[string]int), 0
	var all sync.WaitGroup
	for c := range conversations {
		all.Go(func() {
			for n := range each {
				accept(t, gateways[(c+n)%3], record(fmt.Sprint(c, " ", n+1), fmt.Sprint(c)))
			}
		})
	}
	deliver := func(s *Store, e *queue.Event, turn int) {
		var c, n int
		if _, err := fmt.Sscan(e.Identity, &c, &n); err != nil {
			t.Error(err)
		}
		o := queue.Outcome{State: queue.Delivered}
		mu.Lock()
		if busy[e.Conversation] || last[e.Conversation] != n-1 {
			t.Errorf("%s is leased after number %d, another is: %t", e.Identity, last[e.Conversation], busy[e.Conversation])
		}
		if turn%4 == 0 {
			o = queue.Outcome{State: queue.Pending, Attempt: queue.Attempt{Error: "500"}}
		} else {
			last[e.Conversation] = n
			total++
		}
		if total == conversations*each {
			end()
		}
		mu.Unlock()
		if err := s.Settle(t.Context(), e, o); err != nil {
			t.Error(err)
		}
	}
	for _, s := range gateways {
		for range 3 {
			all.Go(func() {
				for turn := 0; ctx.Err() == nil; turn++ {
					events, _, err := s.Lease(ctx, queue.DefaultConsumer, 3)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
						end()
					}
					for _, e := range events {
						deliver(s, e, turn)
					}
				}
			})
		}
	}
	all.Wait()
	if total != conversations*each {
		t.Errorf("%d events are delivered, want %d", total, conversations*each)
	}
}

// TestLostLease has a gateway fall silent: it knows in time that its leases are lost, another
// gateway gets the event, and what the first one says of it then is refused.
func TestLostLease(t *testing.T) {
	t.Parallel()
	o := newShared(t, 5*time.Second)
	silent := o
	silent.beat = time.Hour
	first, second := openShared(t, silent), openShared(t, o)
	accept(t, first, record("a", "1"), record("b", "1"))
	a, valid := lease(t, first)
	again, _ := lease(t, second)
	if again.Identity != "a" {
		t.Errorf("leased %s, want a", again.Identity)
	}
	if valid.Err() == nil {
		t.Error("the lease is valid, though another gateway has the event")
	}
	if err := first.Settle(t.Context(), a, queue.Outcome{State: queue.Delivered}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("settled without a lease: %v", err)
	}
	if err := second.Settle(t.Context(), again, queue.Outcome{State: queue.Delivered}); err != nil {
		t.Error(err)
	}
	// It begins anew.
	if b, valid := lease(t, first); b.Identity != "b" || valid.Err() != nil {
		t.Errorf("leased %s, want b", b.Identity)
	}
}

// TestLeaseIsLostWithoutTimer has the time of a session be over in a process that was stopped,
// so that no timer has run: who asks finds out, and everybody else is told.
func TestLeaseIsLostWithoutTimer(t *testing.T) {
	t.Parallel()
	s := openShared(t, newShared(t, time.Hour))
	accept(t, s, record("a", "1"))
	_, valid := lease(t, s)
	if valid.Err() != nil {
		t.Fatal("the lease is lost")
	}
	now := time.Now()
	s.session.valid.until.Store(&now)
	if valid.Err() == nil {
		t.Error("the lease is valid after its time")
	}
	select {
	case <-valid.Done():
	default:
		t.Error("who waits for the end of the lease is not told")
	}
}

// TestLeaseIsKept has a gateway take longer for an event than a session lasts.
func TestLeaseIsKept(t *testing.T) {
	t.Parallel()
	o := newShared(t, 6*time.Second)
	first, second := openShared(t, o), openShared(t, o)
	accept(t, first, record("a", "1"))
	a, valid := lease(t, first)
	ctx, cancel := context.WithTimeout(t.Context(), o.expiry*3/2)
	defer cancel()
	if events, _, err := second.Lease(ctx, queue.DefaultConsumer, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("leased %v while another has it: %v", events, err)
	}
	if valid.Err() != nil {
		t.Error("the lease is lost")
	}
	if err := first.Settle(t.Context(), a, queue.Outcome{State: queue.Delivered}); err != nil {
		t.Error(err)
	}
}

// TestSettleAgain repeats a settlement whose answer did not come: it succeeds, and changes
// nothing. One of a lease that somebody else has had since is refused.
func TestSettleAgain(t *testing.T) {
	t.Parallel()
	s := openShared(t, newShared(t, 10*time.Second))
	accept(t, s, record("a", "1"), record("b", "1"))
	a, _ := lease(t, s)
	settle := func(h held, o queue.Outcome) *settlement {
		t.Helper()
		item := &settlement{Event: a, Outcome: o, held: h}
		if err := s.settles.Do(item); err != nil {
			t.Fatal(err)
		}
		return item
	}
	failed := queue.Outcome{State: queue.Pending, Attempt: queue.Attempt{Error: "500"}}
	h := s.leases[a]
	for range 2 {
		if settle(h, failed).lost {
			t.Error("a settlement is refused")
		}
	}
	next, _ := lease(t, s)
	if next.Identity != "a" || next.Attempts != 1 {
		t.Errorf("leased %s after %d attempts, want a after 1", next.Identity, next.Attempts)
	}
	if err := s.Settle(t.Context(), next, queue.Outcome{State: queue.Delivered}); err != nil {
		t.Fatal(err)
	}
	if !settle(h, failed).lost {
		t.Error("the settlement of an earlier lease is not refused")
	}
	if b, _ := lease(t, s); b.Identity != "b" {
		t.Errorf("leased %s, want b", b.Identity)
	}
}

// TestSchemaIsMadeOnce has many gateways start at the same time.
func TestSchemaIsMadeOnce(t *testing.T) {
	t.Parallel()
	o := newShared(t, 10*time.Second)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s := openShared(t, o)
			accept(t, s, record("a", ""))
		})
	}
	all.Wait()
	stats, err := open(t, o).Stats(t.Context())
	if err != nil || len(stats) != 1 || stats[0].Pending != 1 {
		t.Errorf("stats %+v, %v, want one event", stats, err)
	}
}
