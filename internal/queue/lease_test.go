package queue

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lender is a Store that leases what a test tells it to.
type lender struct {
	Store
	loans chan loan
	asked atomic.Int64 // calls of Lease

	mu      sync.Mutex
	settled []string // identities, and what became of them
	err     error    // of Settle
}

// loan is what a call of Lease returns.
type loan struct {
	orders []string // of which it leases the first event each
	valid  context.Context
	err    error
}

func newLender() *lender { return &lender{loans: make(chan loan)} }

func (s *lender) Lease(ctx context.Context, _ string, _ int) ([]*Event, context.Context, error) {
	s.asked.Add(1)
	select {
	case l := <-s.loans:
		var events []*Event
		for _, order := range l.orders {
			events = append(events, &Event{Record: record(order, 1), State: Pending})
		}
		return events, l.valid, l.err
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (s *lender) Settle(_ context.Context, e *Event, o Outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	became := string(o.State)
	if o.Released {
		became = "released"
	}
	s.settled = append(s.settled, e.Identity+" "+became)
	return s.err
}

// taken returns what was settled so far, and forgets it.
func (s *lender) taken() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	settled := s.settled
	s.settled = nil
	slices.Sort(settled)
	return settled
}

func (s *lender) answer(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// TestLostLeases has leases end while one event is under way and another waits for it.
func TestLostLeases(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		backend http.HandlerFunc
		settled string // what the first event is settled as
		within  time.Duration
	}{
		"hangs":               {hang, "released", 0},
		"ignores it":          {func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, "released", returnTimeoutWhenCut},
		"is delivered anyway": {func(w http.ResponseWriter, r *http.Request) { hang(w, r); w.WriteHeader(200) }, "delivered", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLender()
				l := newLedger(t)
				var lost atomic.Bool
				tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					if lost.Load() {
						defer l.enter(r)()
						w.WriteHeader(200)
						return
					}
					c.backend(w, r)
				}, Store(s), func(p *Policy) { p.Concurrency = 2 })

				valid, lose := context.WithCancel(t.Context())
				s.loans <- loan{orders: []string{"a", "b"}, valid: valid}
				time.Sleep(500 * time.Millisecond)
				if got := s.taken(); got != nil {
					t.Fatalf("settled %v", got)
				}
				lost.Store(true)
				s.answer(ErrNotFound)
				lose()
				time.Sleep(c.within)
				if got := s.taken(); !slices.Equal(got, []string{"a/1 " + c.settled}) {
					t.Errorf("settled %v, want only what was under way, as %s", got, c.settled)
				}
				for _, line := range tr.logs.All() {
					if line.Message != msgLost {
						t.Errorf("the log says %v", line)
					}
				}

				// Leases that come late, of the same term.
				s.loans <- loan{orders: []string{"c"}, valid: valid}
				time.Sleep(time.Second)
				if got := s.taken(); got != nil {
					t.Errorf("settled %v of leases that were lost before they came", got)
				}
				if all, _, _ := l.attempts(); all != 0 {
					t.Errorf("%d attempts without a lease", all)
				}

				s.answer(nil)
				s.loans <- loan{orders: []string{"b", "a"}, valid: t.Context()}
				time.Sleep(time.Hour)
				if got := s.taken(); !slices.Equal(got, []string{"a/1 delivered", "b/1 delivered"}) {
					t.Errorf("settled %v, want both as delivered", got)
				}
			})
		})
	}
}

// TestNotFoundIsLogged shows that an event that is gone is news while its lease is not.
func TestNotFoundIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLender()
		s.answer(ErrNotFound)
		tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }, Store(s))
		s.loans <- loan{orders: []string{"a"}, valid: t.Context()}
		synctest.Wait()
		if n := tr.logs.FilterMessage(msgStore).Len(); n != 1 {
			t.Errorf("%d lines, want 1", n)
		}
	})
}

// TestTermsEnd shows that a store that outlives a Dispatcher does not keep it.
func TestTermsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLender()
		tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }, Store(s))
		valid := &watched{Context: t.Context(), done: make(chan struct{})}
		s.loans <- loan{orders: []string{"a"}, valid: valid}
		synctest.Wait()
		if n := valid.watchers.Load(); n != 1 {
			t.Errorf("%d watch the leases, want 1", n)
		}
		tr.Stop(0)
		synctest.Wait()
		if n := valid.watchers.Load(); n != 0 {
			t.Errorf("%d watch the leases of a store after a stop", n)
		}
	})
}

// watched is a context that knows how many wait for its end by AfterFunc.
type watched struct {
	context.Context
	done     chan struct{}
	watchers atomic.Int64
}

func (c *watched) Done() <-chan struct{} { return c.done }
func (c *watched) Err() error            { return nil }

// AfterFunc is what package context looks for.
func (c *watched) AfterFunc(func()) (stop func() bool) {
	c.watchers.Add(1)
	return func() bool { c.watchers.Add(-1); return true }
}

// TestDroppedConsumer ends the work with one line.
func TestDroppedConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLender()
		tr := dispatch(t, hang, Store(s), func(p *Policy) { p.Consumer = "crm" })
		s.loans <- loan{err: fmt.Errorf("leasing: %w", ErrNoConsumer)}
		time.Sleep(time.Hour)
		if n := s.asked.Load(); n != 1 {
			t.Errorf("asked for events %d times, want once", n)
		}
		lines := tr.logs.All()
		if len(lines) != 1 || lines[0].Message != msgDropped || lines[0].ContextMap()["consumer"] != "crm" {
			t.Errorf("the log says %v", lines)
		}
	})
}

// slowToLease is a Store whose Lease takes a while to return what it has leased.
type slowToLease struct{ Store }

func (s slowToLease) Lease(ctx context.Context, consumer string, limit int) ([]*Event, context.Context, error) {
	events, valid, err := s.Store.Lease(ctx, consumer, limit)
	time.Sleep(300 * time.Millisecond)
	return events, valid, err
}

// TestYield pauses a consumer at different moments: what is under way ends, and nothing
// else begins until it goes on.
func TestYield(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, time.Second, 1100 * time.Millisecond, 2500 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(t)
				tr := dispatch(t, l.slowly(time.Second), func(s Store) Store { return slowToLease{s} })
				for i := range 40 {
					tr.accept(fmt.Sprint(i), 2)
				}
				time.Sleep(after)
				pause := func(paused bool) {
					if err := tr.store.Pause(t.Context(), DefaultConsumer, paused); err != nil {
						t.Fatal(err)
					}
				}
				pause(true)
				tr.Yield()
				begun, _, _ := l.attempts()
				time.Sleep(400 * time.Millisecond)
				_, now, _ := l.attempts()
				if stats := statsOf(t, tr.store); stats.InFlight != int64(now) {
					t.Errorf("%d events are leased while %d attempts are under way", stats.InFlight, now)
				}
				time.Sleep(time.Hour)
				if all, _, _ := l.attempts(); all != begun {
					t.Errorf("%d attempts began during the pause", all-begun)
				}
				pause(false)
				time.Sleep(time.Hour)
				tr.expect(map[State]int{Delivered: 80})
				if all, _, _ := l.attempts(); all != 80 {
					t.Errorf("%d attempts for 80 events", all)
				}
				if n := tr.logs.Len(); n != 0 {
					t.Errorf("%d lines in the log", n)
				}
			})
		})
	}
}

// TestYieldGoesOn yields again and again without a pause: all is delivered, in order.
func TestYieldGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		tr := dispatch(t, l.slowly(10*time.Millisecond))
		for i := range 20 {
			tr.accept(fmt.Sprint(i), 20)
		}
		for range 100 {
			time.Sleep(7 * time.Millisecond)
			tr.Yield()
		}
		time.Sleep(time.Minute)
		tr.expect(map[State]int{Delivered: 400})
		if all, _, _ := l.attempts(); all != 400 {
			t.Errorf("%d attempts for 400 events", all)
		}
		for i := range 20 {
			if got := l.of(fmt.Sprint(i)); !slices.IsSortedFunc(got, compareByNumber) {
				t.Errorf("got %v", got)
			}
		}
	})
}

// compareByNumber compares identities of the same order.
func compareByNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// TestAttemptOfLostLease has a lease be lost between the decision to deliver an event and the
// attempt, as in a process that was stopped: the backend does not get what another one has.
func TestAttemptOfLostLease(t *testing.T) {
	t.Parallel()
	valid, lose := context.WithCancel(t.Context())
	lose()
	d := &Dispatcher{policy: Policy{Timeout: time.Minute}, backend: func(http.ResponseWriter, *http.Request) error {
		t.Error("the event is delivered")
		return nil
	}}
	r, abandoned := d.attempt(lease{&Event{}, &term{valid: valid, attempting: t.Context()}})
	if !r.cut || abandoned {
		t.Errorf("the attempt is %+v, want one that was cut short", r)
	}
}
