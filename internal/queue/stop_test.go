package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var errDisk = errors.New("input/output error")

// broken is a Store of which some methods can fail.
type broken struct {
	Store
	lease, settle atomic.Int64 // how many calls still fail
	settled       atomic.Int64 // calls of Settle that did not fail
}

func (s *broken) before(inner Store) Store {
	s.Store = inner
	return s
}

func (s *broken) Lease(ctx context.Context, consumer string, limit int) ([]*Event, context.Context, error) {
	if s.lease.Add(-1) >= 0 {
		return nil, nil, errDisk
	}
	return s.Store.Lease(ctx, consumer, limit)
}

func (s *broken) Settle(ctx context.Context, e *Event, o Outcome) error {
	if !o.Released && s.settle.Add(-1) >= 0 {
		return errDisk
	}
	s.settled.Add(1)
	return s.Store.Settle(ctx, e, o)
}

// TestSettleFails shows that nothing is delivered again because a settlement
// failed, and that the settlement succeeds in the end.
func TestSettleFails(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]State{200: Delivered, 410: Dead} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(t)
				var s broken
				s.settle.Store(40)
				tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					defer l.enter(r)()
					w.WriteHeader(status)
				}, s.before)
				tr.accept("a", 1)
				time.Sleep(time.Minute)
				if e := tr.only(); e.State != Pending || !e.InFlight {
					t.Errorf("%s, in flight %t", e.State, e.InFlight)
				}
				time.Sleep(10 * time.Minute)
				if e := tr.only(); e.State != want || e.InFlight {
					t.Errorf("%s, in flight %t; want %s", e.State, e.InFlight, want)
				}
				if all, _, _ := l.attempts(); all != 1 {
					t.Errorf("%d attempts", all)
				}
			})
		})
	}
}

// TestSettleHangs bounds the events that the backend has, but the store does
// not know of.
func TestSettleHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		var s broken
		s.settle.Store(1000)
		tr := dispatch(t, l.slowly(time.Millisecond), s.before)
		for i := range 100 {
			tr.accept(fmt.Sprint(i), 1)
		}
		time.Sleep(time.Minute)
		if all, _, _ := l.attempts(); all < 8 || all > 16 {
			t.Errorf("%d attempts, want at most 8 and those that were under way", all)
		}
		s.settle.Store(0)
		time.Sleep(time.Minute)
		tr.expect(map[State]int{Delivered: 100})
		if all, _, _ := l.attempts(); all != 100 {
			t.Errorf("%d attempts for 100 events", all)
		}
	})
}

// TestLeaseFails shows that the Dispatcher goes on after errors of the store,
// and that they do not flood the log.
func TestLeaseFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		var s broken
		s.lease.Store(100)
		tr := dispatch(t, l.slowly(0), s.before)
		tr.accept("a", 3)
		time.Sleep(time.Minute)
		failed := 100 - s.lease.Load()
		if failed < 10 || failed > 30 {
			t.Errorf("%d calls in a minute of errors", failed)
		}
		lines := int64(tr.logs.FilterMessage(msgStore).Len())
		if lines == 0 || lines >= failed {
			t.Errorf("%d lines in the log", lines)
		}
		time.Sleep(10 * time.Minute)
		tr.expect(map[State]int{Delivered: 3})
	})
}

// TestStoreCloses shows that the end of the store ends the work, and that Stop
// still returns.
func TestStoreCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		tr := dispatch(t, l.slowly(time.Minute))
		tr.accept("a", 1)
		time.Sleep(time.Second)
		if err := tr.store.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		begin := time.Now()
		tr.Stop(0)
		if took := time.Since(begin); took > 0 {
			t.Errorf("stopping took %s", took)
		}
	})
}

// TestStop ends a Dispatcher in the middle of attempts. It is not run in
// parallel, because it looks at metrics.
func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		backend http.HandlerFunc
		grace   time.Duration
		took    time.Duration
		state   State // of the event that was under way
		made    int   // attempts to deliver it
	}{
		"waits":                {newLedger(t).slowly(10 * time.Second), 0, 9500 * time.Millisecond, Delivered, 1},
		"waits for failure":    {func(w http.ResponseWriter, r *http.Request) { sleep(r.Context(), 5*time.Second); w.WriteHeader(500) }, 0, 4500 * time.Millisecond, Pending, 1},
		"waits for a timeout":  {hang, 0, 29500 * time.Millisecond, Pending, 1},
		"within the grace":     {newLedger(t).slowly(10 * time.Second), 20 * time.Second, 9500 * time.Millisecond, Delivered, 1},
		"cut short":            {newLedger(t).slowly(10 * time.Second), 3 * time.Second, 3 * time.Second, Pending, 0},
		"cut short in a proxy": {func(w http.ResponseWriter, r *http.Request) { hang(w, r); w.WriteHeader(499) }, 3 * time.Second, 3 * time.Second, Pending, 0},
		"cut short in the body": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			hang(w, r)
			panic(http.ErrAbortHandler)
		}, 3 * time.Second, 3 * time.Second, Pending, 0},
		"cut, and panics":      {func(w http.ResponseWriter, r *http.Request) { hang(w, r); panic("cut") }, 3 * time.Second, 3 * time.Second, Pending, 0},
		"cut, but delivered":   {func(w http.ResponseWriter, r *http.Request) { hang(w, r); w.WriteHeader(200) }, 3 * time.Second, 3 * time.Second, Delivered, 1},
		"ignores its end":      {func(w http.ResponseWriter, _ *http.Request) { time.Sleep(10 * time.Second); w.WriteHeader(200) }, 9 * time.Second, 9500 * time.Millisecond, Delivered, 1},
		"ignores it for long":  {func(w http.ResponseWriter, _ *http.Request) { time.Sleep(11 * time.Hour); w.WriteHeader(200) }, 3 * time.Second, 3*time.Second + returnTimeoutWhenCut, Pending, 0},
		"ignores its timeout":  {func(w http.ResponseWriter, _ *http.Request) { time.Sleep(11 * time.Hour); w.WriteHeader(200) }, 0, 29500*time.Millisecond + returnTimeout, Pending, 1},
		"failed, and then cut": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503); hang(w, r) }, 3 * time.Second, 3 * time.Second, Pending, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failures := total(t)
				tr := dispatch(t, c.backend, func(p *Policy) { p.First, p.Max = time.Hour, time.Hour })
				for i := range 5 {
					tr.accept(fmt.Sprint(i), 2)
				}
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				if stats := statsOf(t, tr.store); stats.InFlight != 2 {
					t.Fatalf("%d events are leased, want one under way and one that waits for it", stats.InFlight)
				}

				begin := time.Now()
				tr.Stop(c.grace)
				if took := time.Since(begin); took != c.took {
					t.Errorf("stopping took %s, want %s", took, c.took)
				}
				for _, e := range tr.events() {
					state, made := Pending, 0
					if e.Identity == "0/1" {
						state, made = c.state, c.made
					}
					if e.InFlight || e.State != state || e.Attempts != made {
						t.Errorf("%s: %s, in flight %t, %d attempts; want %s, %d", e.Identity, e.State, e.InFlight, e.Attempts, state, made)
					}
				}
				failed := c.made
				if c.state == Delivered {
					failed = 0
				}
				if n := total(t) - failures; n != float64(failed) {
					t.Errorf("counted %v failures, want %d", n, failed)
				}
				before := tr.states()
				time.Sleep(100 * time.Hour)
				tr.expect(before)
			})
		})
	}
}

// total returns how many failed attempts were counted.
func total(t *testing.T) (n float64) {
	t.Helper()
	for _, reason := range []string{"500", "503", "499", "timeout", "panic", "broken"} {
		n += testutil.ToFloat64(metrics.failures.WithLabelValues(DefaultConsumer, reason))
	}
	return n
}

// TestStopWhileStoreFails shows that Stop does not wait for ever for the store:
// all is given back, so that others can deliver it.
func TestStopWhileStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s broken
		s.settle.Store(1 << 40)
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(map[bool]int{true: 200, false: 500}[r.Header.Get("Idempotency-Key") == "good/1"])
		}, s.before)
		tr.accept("good", 2)
		tr.accept("bad", 2)
		time.Sleep(time.Minute)
		begin := time.Now()
		tr.Stop(0)
		if took := time.Since(begin); took > settleTimeout {
			t.Errorf("stopping took %s", took)
		}
		for _, e := range tr.events() {
			if e.State != Pending || e.Attempts != 0 || e.InFlight {
				t.Errorf("%s: %s, in flight %t, %d attempts failed", e.Identity, e.State, e.InFlight, e.Attempts)
			}
		}
		if n := tr.logs.FilterMessageSnippet("could not be stored").Len(); n != 1 {
			t.Errorf("%d lines about what was not stored, want 1", n)
		}
	})
}

// TestBackendDoesNotReturn has attempts that outlast their timeout by far. They
// count as failed, and take room until they return.
func TestBackendDoesNotReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Instagram-Attempt") == "1" && r.Header.Get("Idempotency-Key") != "free/1" {
				time.Sleep(time.Hour)
			}
			w.WriteHeader(200)
		}, func(p *Policy) { p.Concurrency = 3 })
		tr.accept("a", 1)
		tr.accept("b", 1)
		tr.accept("free", 1)
		time.Sleep(2 * time.Minute)
		tr.expect(map[State]int{Delivered: 3})
		tr.accept("c", 1)
		time.Sleep(2 * time.Second)
		tr.accept("free", 1)
		time.Sleep(30 * time.Minute)
		if e := tr.events()[4]; e.State != Pending || e.Attempts != 0 {
			t.Errorf("more attempts than allowed: %s after %d failed", e.State, e.Attempts)
		}
		time.Sleep(2 * time.Hour)
		tr.expect(map[State]int{Delivered: 5})
		if tr.running != 0 {
			t.Errorf("%d attempts are under way", tr.running)
		}
	})
}

// TestStopUnused stops a Dispatcher that never began, and twice.
func TestStopUnused(t *testing.T) {
	t.Parallel()
	d := NewDispatcher(NewMemory(), nil, Policy{Consumer: DefaultConsumer, Concurrency: 1}, nil)
	d.Stop(0)
	d.Stop(time.Nanosecond)
}
