package queue

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// TestDelay holds the random times against their bounds.
func TestDelay(t *testing.T) {
	t.Parallel()
	for range 1000 {
		p := Policy{First: 1 + rand.N(time.Minute)}
		p.Max = p.First + rand.N(time.Duration(math.MaxInt64)-p.First)>>rand.IntN(62)
		for failed := range 200 {
			bound := p.Max
			if exact := float64(p.First) * math.Pow(2, float64(failed)); exact < float64(p.Max) {
				bound = time.Duration(exact)
			}
			if d := p.delay(failed); d <= 0 || d > bound {
				t.Fatalf("first %d, max %d, after %d: %d, want at most %d", p.First, p.Max, failed, d, bound)
			}
		}
		// Beyond all bounds it stays at Max.
		longest := time.Duration(0)
		for failed := range 100 {
			longest = max(longest, p.delay(64+failed))
		}
		if longest < p.Max/4 {
			t.Fatalf("first %d, max %d: at most %d in the end", p.First, p.Max, longest)
		}
	}
}

// TestDelayJitter looks for full jitter: every part of the range is hit.
func TestDelayJitter(t *testing.T) {
	t.Parallel()
	p := Policy{First: time.Second, Max: time.Minute}
	var parts [10]int
	const n = 20000
	for range n {
		parts[min(9, p.delay(3)*10/(8*time.Second))]++
	}
	for i, hits := range parts {
		if hits < n/10*8/10 || hits > n/10*12/10 {
			t.Errorf("part %d of 10 was hit %d times out of %d", i, hits, n)
		}
	}
}

func TestWaitOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := func(d time.Duration, format string) string { return time.Now().UTC().Add(d).Format(format) }
		for header, want := range map[string]time.Duration{
			"":                              0,
			"0":                             0,
			"7":                             7 * time.Second,
			"9223372036":                    9223372036 * time.Second,
			"9223372037":                    9223372036 * time.Second,
			"9223372036854775807":           9223372036 * time.Second,
			"99999999999999999999":          0,
			"-7":                            0,
			"+7":                            0,
			"7.5":                           0,
			"soon":                          0,
			in(time.Hour, http.TimeFormat):  time.Hour,
			in(time.Hour, time.RFC850):      time.Hour,
			in(time.Hour, time.ANSIC):       time.Hour,
			in(-time.Hour, http.TimeFormat): 0,
			in(10*time.Hour, time.RFC3339):  0,
			"Fri, 31 Dec 9999 23:59:59 GMT": time.Duration(math.MaxInt64),
			"Fri, 31 Foo 9999 23:59:59 GMT": 0,
			"7, 8":                          0,
		} {
			if got := waitOf(header); got != want {
				t.Errorf("%q: %s, want %s", header, got, want)
			}
		}
	})
}

// TestRetryAfter shows that an event does not come again before the backend
// asked for, but once more at the end.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		header string
		want   time.Duration
	}{
		"429":                 {429, "3600", time.Hour},
		"any status":          {302, "3600", time.Hour},
		"beyond the deadline": {503, "999999", 36 * time.Hour},
		"beyond time":         {503, "9223372036854775807", 36 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var calls, second atomic.Int64
				tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) {
					if calls.Add(1) > 1 {
						second.Store(int64(time.Since(begin)))
						w.WriteHeader(200)
						return
					}
					w.Header().Set("Retry-After", c.header)
					w.WriteHeader(c.status)
				})
				tr.accept("a", 1)
				time.Sleep(37 * time.Hour)
				tr.expect(map[State]int{Delivered: 1})
				if got := time.Duration(second.Load()); got != c.want {
					t.Errorf("came again after %s, want %s", got, c.want)
				}
			})
		})
	}
}

// TestRetryAfterIsMinimum shows that a short one does not shorten the time.
func TestRetryAfterIsMinimum(t *testing.T) {
	t.Parallel()
	p := Policy{First: time.Hour, Max: time.Hour, For: 36 * time.Hour}
	now := time.Now()
	longer := false
	for range 100 {
		o := p.outcome(new(Event), result{Attempt: Attempt{Ended: now}, reason: "503", status: 503, retryAfter: time.Minute})
		if o.Due.Before(now.Add(time.Minute)) {
			t.Fatalf("due after %s", o.Due.Sub(now))
		}
		longer = longer || o.Due.After(now.Add(time.Minute))
	}
	if !longer {
		t.Error("always due after a minute")
	}
}

// TestUntilDead lets an event fail for 36 hours.
func TestUntilDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Since(begin))
			if got := r.Header.Get("X-Instagram-Attempt"); got != strconv.Itoa(len(at)) {
				t.Errorf("attempt %s, want %d", got, len(at))
			}
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		})
		tr.accept("a", 1)
		time.Sleep(36*time.Hour - 1)
		tr.expect(map[State]int{Pending: 1})
		time.Sleep(time.Nanosecond)
		tr.expect(map[State]int{Dead: 1})
		e := tr.only()
		if e.Attempts != len(at) || e.LastError != "503: down for maintenance" {
			t.Errorf("%d attempts of %d, last error %q", e.Attempts, len(at), e.LastError)
		}
		if at[0] != 0 || at[len(at)-1] != 36*time.Hour {
			t.Errorf("first attempt at %s, last at %s", at[0], at[len(at)-1])
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap <= 0 || gap > min(time.Second<<min(i-1, 20), 10*time.Minute) {
				t.Errorf("%s between attempts %d and %d", gap, i, i+1)
			}
		}
		time.Sleep(100 * time.Hour)
		if len(at) != e.Attempts {
			t.Error("a dead letter was delivered")
		}
	})
}

// TestDeadline shows from when on the time of an event counts: neither its
// acceptance nor a start of the process matters.
func TestDeadline(t *testing.T) {
	t.Parallel()
	p := Policy{For: 24 * time.Hour, First: time.Hour, Max: time.Hour}
	now := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	failed := result{Attempt: Attempt{Ended: now}, reason: "500", status: 500}
	long := now.Add(-90 * 24 * time.Hour)
	for name, c := range map[string]struct {
		tried time.Time
		want  State
		due   time.Time // at most
	}{
		"the first attempt": {want: Pending, due: now.Add(time.Hour)},
		"within the time":   {tried: now.Add(-23 * time.Hour), want: Pending, due: now.Add(time.Hour)},
		"shortly before":    {tried: now.Add(-24*time.Hour + 1), want: Pending, due: now.Add(1)},
		"at the end":        {tried: now.Add(-24 * time.Hour), want: Dead},
		"long after":        {tried: long, want: Dead},
	} {
		e := &Event{Accepted: long, Requeued: long, Tried: c.tried}
		for range 100 {
			o := p.outcome(e, failed)
			if o.State != c.want || o.Due.After(c.due) || o.Due.IsZero() != c.due.IsZero() {
				t.Fatalf("%s: %s until %s, want %s until %s at most", name, o.State, o.Due, c.want, c.due)
			}
		}
		if o := p.outcome(e, result{}); o.State != Delivered {
			t.Errorf("%s: delivered, but %s", name, o.State)
		}
	}
}

// TestSlowSettlements shows that the time a store takes to write down the first
// failure is none of the event's: one attempt falls on the end of its time.
func TestSlowSettlements(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, func(s Store) Store { return slowToSettle{s} }, func(p *Policy) { p.For = 3 * time.Second })
		tr.accept("a", 1)
		time.Sleep(4 * time.Second)
		tr.expect(map[State]int{Dead: 1})
		if e := tr.only(); e.Attempts != 2 {
			t.Errorf("%d attempts, want 2", e.Attempts)
		}
	})
}

// slowToSettle is a Store that takes a while to settle an event.
type slowToSettle struct{ Store }

func (s slowToSettle) Settle(ctx context.Context, e *Event, o Outcome) error {
	time.Sleep(5 * time.Millisecond)
	return s.Store.Settle(ctx, e, o)
}

// TestRestartsDoNotPostpone has an event that always fails, and a dispatcher that
// is started anew each day: the event must be dead after its time all the same.
func TestRestartsDoNotPostpone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		if _, err := s.Accept(t.Context(), []Record{{Identity: "a"}}, Admission{}); err != nil {
			t.Fatal(err)
		}
		broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		policy := Policy{Consumer: DefaultConsumer, First: time.Minute, Max: time.Hour, For: 60 * time.Hour, Timeout: time.Second, Concurrency: 1}
		time.Sleep(100 * time.Hour) // while Caddy did not run
		for day := range 3 {
			d := NewDispatcher(s, answering(broken), policy, zap.NewNop())
			d.Start()
			time.Sleep(24 * time.Hour)
			d.Stop(0)
			stats := statsOf(t, s)
			if dead := day == 2; (stats.Dead == 1) != dead || (stats.Pending == 0) != dead {
				t.Errorf("day %d: %+v", day+1, stats)
			}
		}
	})
}
