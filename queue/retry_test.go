package queue

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
	p := Policy{First: time.Hour, Max: time.Hour, For: 36 * time.Hour, Since: time.Now()}
	now := time.Now()
	longer := false
	for range 100 {
		o := p.outcome(new(Event), result{reason: "503", status: 503, retryAfter: time.Minute}, now)
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

// TestDeadline shows from when on the time of an event counts.
func TestDeadline(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		accepted, requeued, since, want time.Time
	}{
		"accepted":         {accepted: day(3), since: day(1), want: day(4)},
		"before the start": {accepted: day(3), since: day(5), want: day(6)},
		"requeued":         {accepted: day(3), requeued: day(7), since: day(5), want: day(8)},
		"requeued before":  {accepted: day(3), requeued: day(4), since: day(5), want: day(6)},
		"no start":         {accepted: day(3), want: day(4)},
	} {
		p := Policy{For: 24 * time.Hour, Since: c.since, First: time.Second, Max: time.Second}
		e := &Event{Accepted: c.accepted, Requeued: c.requeued}
		if got := p.deadline(e); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		failed := result{reason: "500", status: 500}
		for at, want := range map[time.Duration]State{-1: Pending, 0: Dead, time.Hour: Dead} {
			if o := p.outcome(e, failed, c.want.Add(at)); o.State != want {
				t.Errorf("%s: failed %s after the deadline: %s, want %s", name, at, o.State, want)
			}
		}
		if o := p.outcome(e, failed, c.want.Add(-1)); !o.Due.Equal(c.want) {
			t.Errorf("%s: the last attempt is at %s, want %s", name, o.Due, c.want)
		}
		if o := p.outcome(e, result{}, c.want.Add(time.Hour)); o.State != Delivered {
			t.Errorf("%s: delivered after the deadline: %s", name, o.State)
		}
	}
}
