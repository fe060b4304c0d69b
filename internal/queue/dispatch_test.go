package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// slowly is a backend that answers 200 after a while.
func (l *ledger) slowly(while time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer l.enter(r)()
		if sleep(r.Context(), while) {
			w.WriteHeader(200)
		}
	}
}

// TestOrder delivers events of several orders at the same time: in each one
// after the other, also when some fail now and then.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		failed := make(map[string]bool)
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			defer l.enter(r)()
			id := r.Header.Get("Idempotency-Key")
			n, _ := strconv.Atoi(id[strings.LastIndexByte(id, '/')+1:])
			sleep(r.Context(), time.Duration(n*37%101)*time.Millisecond)
			l.mu.Lock()
			defer l.mu.Unlock()
			if n%7 == 0 && !failed[id] {
				failed[id] = true
				w.WriteHeader(500)
				return
			}
			w.WriteHeader(200)
		})
		for i := range 12 {
			tr.accept(fmt.Sprint("order", i), 30)
		}
		time.Sleep(time.Hour)
		tr.expect(map[State]int{Delivered: 360})
		for i := range 12 {
			var want []string
			for n := range 30 {
				id := fmt.Sprintf("order%d/%d", i, n+1)
				want = append(want, id)
				if (n+1)%7 == 0 {
					want = append(want, id)
				}
			}
			if got := l.of(fmt.Sprint("order", i)); !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
		}
		if _, _, most := l.attempts(); most != 8 {
			t.Errorf("at most %d attempts at the same time, want 8", most)
		}
	})
}

// TestOneHangs lets one conversation hang or fail for ever. The others go on.
func TestOneHangs(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]http.HandlerFunc{
		"hangs": hang,
		"fails": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(t)
				tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.Header.Get("Idempotency-Key"), "bad/") {
						defer l.enter(r)()
						bad(w, r)
						return
					}
					l.slowly(10*time.Millisecond)(w, r)
				})
				tr.accept("bad", 3)
				for i := range 10 {
					tr.accept(fmt.Sprint("good", i), 10)
				}
				time.Sleep(3 * time.Second)
				tr.expect(map[State]int{Delivered: 100, Pending: 3})

				// And so do those that come later, whatever the pace is by then.
				for i := range 100 {
					time.Sleep(17 * time.Minute)
					tr.accept(fmt.Sprint("late", i), 1)
					time.Sleep(1100 * time.Millisecond)
					tr.expect(map[State]int{Delivered: 101 + i, Pending: 3})
				}
				if got := slices.Compact(l.of("bad")); !slices.Equal(got, []string{"bad/1"}) {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

// TestAllHang shows that the limit holds, and that it grows by one a second.
func TestAllHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) { defer l.enter(r)(); hang(w, r) })
		for i := range 100 {
			tr.accept(fmt.Sprint(i), 1)
		}
		for second := range 20 {
			_, now, _ := l.attempts()
			if want := min(second+1, 8); now != want {
				t.Errorf("%d at the same time after %d seconds, want %d", now, second, want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if _, _, most := l.attempts(); most != 8 {
			t.Errorf("%d at the same time, want 8", most)
		}
	})
}

// TestSlowStart looks at the number of attempts at the same time after a start,
// and after an outage.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		var down atomic.Bool
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			if !down.Load() {
				l.slowly(900*time.Millisecond)(w, r)
				return
			}
			defer l.enter(r)()
			w.WriteHeader(502)
		}, func(p *Policy) { p.First, p.Max = time.Minute, time.Minute })
		curve := func() {
			t.Helper()
			l.reset()
			for i, want := range []int{1, 2, 4, 8, 8, 8} {
				if _, now, _ := l.attempts(); now != want {
					t.Errorf("%d at the same time after %d rounds, want %d", now, i, want)
				}
				time.Sleep(900 * time.Millisecond)
			}
		}
		for i := range 200 {
			tr.accept(fmt.Sprint(i), 1)
		}
		curve()

		down.Store(true)
		time.Sleep(10 * time.Second)
		l.reset()
		time.Sleep(time.Minute)
		if _, _, most := l.attempts(); most != 1 {
			t.Errorf("%d at the same time while all fail, want 1", most)
		}

		for resting := true; resting; {
			time.Sleep(time.Millisecond)
			tr.mu.Lock()
			resting = tr.cooldownTimer != nil
			tr.mu.Unlock()
		}
		down.Store(false)
		for i := range 100 {
			tr.accept(fmt.Sprint("next", i), 1)
		}
		curve()
	})
}

// TestPace shows the limit step by step: + for a success, - for a failure, and
// a digit for as many attempts that do not end.
func TestPace(t *testing.T) {
	t.Parallel()
	for steps, want := range map[string]string{
		"+++++":     "23455",
		"-":         "1",
		"+--":       "221",
		"++-+--":    "233444",
		"+++----":   "2344441",
		"+++---+-":  "23444455",
		"1234":      "2345",
		"5":         "5",
		"++--0":     "23334",
		"++---3":    "233314",
		"----+----": "111122111",
	} {
		p := pace{limit: 1, max: 5}
		got := ""
		for _, step := range steps {
			switch step {
			case '+':
				p.success()
			case '-':
				p.failure()
			default:
				p.stall(int(step - '0'))
			}
			got += strconv.Itoa(p.limit)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", steps, got, want)
		}
	}
}

// TestTwoDispatchers lets two work on one store, one of which ends.
func TestTwoDispatchers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		first := dispatch(t, l.slowly(100*time.Millisecond))
		for i := range 40 {
			first.accept(fmt.Sprint("order", i), 20)
		}
		time.Sleep(3 * time.Second)
		byFirst, _, _ := l.attempts()
		second := dispatch(t, l.slowly(100*time.Millisecond), first.store)
		time.Sleep(3 * time.Second)
		first.Stop(0)
		if all, _, most := l.attempts(); all-byFirst < 300 || most <= 8 {
			t.Errorf("%d events, at most %d at the same time: one of two was idle", all-byFirst, most)
		}
		time.Sleep(time.Minute)
		second.expect(map[State]int{Delivered: 800})
		if all, _, _ := l.attempts(); all != 800 {
			t.Errorf("%d attempts for 800 events", all)
		}
	})
}

// expiring is a Store that notes when it is to forget something.
type expiring struct {
	Store

	mu    sync.Mutex
	steps []time.Time
	err   error
}

func (s *expiring) Expire(ctx context.Context, r Retention) (bool, error) {
	time.Sleep(2 * time.Second) // a slow one
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, time.Now())
	if s.err != nil {
		return true, s.err
	}
	return s.Store.Expire(ctx, r)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := &expiring{}
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(map[bool]int{true: 410, false: 200}[strings.HasPrefix(r.Header.Get("Idempotency-Key"), "dead/")])
		})
		s.Store = tr.store
		ctx, stop := context.WithCancel(t.Context())
		core, logs := observer.New(zap.DebugLevel)
		var loop sync.WaitGroup
		loop.Go(func() {
			Expire(ctx, s, Retention{Delivered: 24 * time.Hour, Dead: 30 * 24 * time.Hour}, zap.New(core))
		})
		tr.accept("delivered", 10)
		tr.accept("dead", 5)
		time.Sleep(24*time.Hour - time.Second)
		tr.expect(map[State]int{Delivered: 10, Dead: 5})
		time.Sleep(2 * time.Minute)
		tr.expect(map[State]int{Dead: 5})
		time.Sleep(29*24*time.Hour - 3*time.Minute)
		tr.expect(map[State]int{Dead: 5})
		time.Sleep(4 * time.Minute)
		tr.expect(map[State]int{})

		s.mu.Lock()
		if first := s.steps[0].Sub(begin); first > 3*time.Second {
			t.Errorf("first step after %s", first)
		}
		short := 0
		for i := 1; i < len(s.steps); i++ {
			switch pause := s.steps[i].Sub(s.steps[i-1]) - 2*time.Second; pause {
			case time.Minute:
			case 2 * time.Second: // as long as the step took
				short++
			default:
				t.Fatalf("a pause of %s", pause)
			}
		}
		if short != 9+4 {
			t.Errorf("%d short pauses, want 13: one after each event but the last", short)
		}

		s.err = errors.New("broken")
		n := len(s.steps)
		s.mu.Unlock()
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		if more := len(s.steps) - n; more < 8 || more > 10 || logs.Len() != more {
			t.Errorf("%d steps and %d lines in ten minutes of errors", more, logs.Len())
		}
		s.mu.Unlock()
		stop()
		loop.Wait()
	})
}
