package queue

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// beginnings notes when attempts begin.
type beginnings struct {
	mu sync.Mutex
	at []time.Time
}

func (b *beginnings) note() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = append(b.at, time.Now())
	return len(b.at)
}

// taken returns the times so far, and forgets them.
func (b *beginnings) taken() []time.Time {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.at
	b.at = nil
	return at
}

// TestRate counts attempts, of which some fail, and looks at the time between them.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate   float64
		during time.Duration
		want   int
	}{
		{20, 10 * time.Second, 200},
		{0.5, time.Minute, 30},
		{3, time.Minute, 180},
		{1000, time.Second, 1000},
		{2e9, time.Second, 2000}, // all that there are
	} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b beginnings
				tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) {
					status := http.StatusOK
					if b.note()%3 == 0 && c.rate < 1e9 {
						status = http.StatusServiceUnavailable
					}
					w.WriteHeader(status)
				}, func(p *Policy) { p.Rate = c.rate; p.First, p.Max = time.Millisecond, time.Millisecond })
				for i := range 2000 {
					tr.accept(fmt.Sprint(i), 1)
				}
				time.Sleep(c.during - 1)
				at := b.taken()
				if n := len(at); n < c.want-1 || n > c.want+1 {
					t.Errorf("%d attempts in %s, want %d", n, c.during, c.want)
				}
				interval := time.Duration(float64(time.Second) / c.rate)
				for i := 1; i < len(at); i++ {
					if gap := at[i].Sub(at[i-1]); (gap - interval).Abs() > 10*time.Nanosecond {
						t.Fatalf("%s between attempts %d and %d, want %s", gap, i, i+1, interval)
					}
				}
				if c.rate >= 1e9 {
					return
				}
				if most := int64(c.rate) + 1; statsOf(t, tr.store).InFlight > most {
					t.Errorf("%d events are leased, want at most %d: what begins in a second", statsOf(t, tr.store).InFlight, most)
				}
			})
		})
	}
}

// TestRateIsNotMadeUp shows that what an application did not take in time is not sent in
// a burst later.
func TestRateIsNotMadeUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b beginnings
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			if b.note()%10 == 0 {
				sleep(r.Context(), 5*time.Second)
			}
			w.WriteHeader(200)
		}, func(p *Policy) { p.Rate = 20; p.Concurrency = 1 })
		check := func(what string, events int) {
			t.Helper()
			at := b.taken()
			if len(at) != events {
				t.Errorf("%s: %d attempts, want %d", what, len(at), events)
			}
			for i := 1; i < len(at); i++ {
				if gap := at[i].Sub(at[i-1]); gap < 50*time.Millisecond-10 {
					t.Errorf("%s: %s between attempts %d and %d", what, gap, i, i+1)
				}
			}
		}
		for i := range 100 {
			tr.accept(fmt.Sprint(i), 1)
		}
		time.Sleep(time.Hour)
		check("an application that hangs", 100)
		for i := range 9 {
			tr.accept(fmt.Sprint("next", i), 1)
		}
		time.Sleep(time.Hour)
		check("after a rest", 9)
	})
}

// TestRateHoldsUpNothing stops and yields while an attempt waits for its turn.
func TestRateHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b beginnings
		tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) { b.note(); w.WriteHeader(200) },
			func(p *Policy) { p.Rate = 0.001 })
		for i := range 5 {
			tr.accept(fmt.Sprint(i), 1)
		}
		time.Sleep(time.Minute)
		if n := len(b.taken()); n != 1 {
			t.Fatalf("%d attempts", n)
		}
		if err := tr.store.Pause(t.Context(), DefaultConsumer, true); err != nil {
			t.Fatal(err)
		}
		tr.Yield()
		synctest.Wait()
		if stats := statsOf(t, tr.store); stats.InFlight != 0 {
			t.Errorf("%d events are leased after a yield", stats.InFlight)
		}
		time.Sleep(time.Hour)
		if err := tr.store.Pause(t.Context(), DefaultConsumer, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(b.taken()); n != 1 {
			t.Errorf("%d attempts at once after a pause, want 1", n)
		}
		begin := time.Now()
		tr.Stop(0)
		if took := time.Since(begin); took > 0 {
			t.Errorf("stopping took %s", took)
		}
		time.Sleep(time.Hour)
		if stats := statsOf(t, tr.store); stats.InFlight != 0 || stats.Pending != 3 || len(b.taken()) != 0 {
			t.Errorf("after the stop: %+v", stats)
		}
	})
}

// TestRateWithLateTimers shows that late timers do not add up.
func TestRateWithLateTimers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := NewDispatcher(NewMemory(), nil, Policy{Consumer: DefaultConsumer, Rate: 20, Concurrency: 1}, zap.NewNop())
		defer d.Stop(0)
		allowed := func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.rateAllows(time.Now())
		}
		begin := time.Now()
		for i := range 100 {
			if !allowed() || allowed() {
				t.Fatalf("attempt %d is not allowed after %s, or is twice", i, time.Since(begin))
			}
			time.Sleep(time.Until(d.turn) + 3*time.Millisecond)
		}
		if took := time.Since(begin); took > 5*time.Second+4*time.Millisecond {
			t.Errorf("100 attempts take %s, want 5s and what the last timer is late", took)
		}
		time.Sleep(time.Second)
		if late := time.Now(); !allowed() || allowed() || d.turn.Sub(late) < 50*time.Millisecond-10 {
			t.Error("a second that was not used is made up for")
		}
	})
}
