package queue

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// TestReloadDoesNotHangOnAnAttemptThatHangs lets a new Dispatcher take over from
// one whose attempt would go on for hours: others are delivered meanwhile, and the
// event that was cut at once after the grace, as if there had been no attempt, and
// before the one behind it.
func TestReloadDoesNotHangOnAnAttemptThatHangs(t *testing.T) {
	t.Parallel()
	const grace = 10 * time.Second
	for name, c := range map[string]struct {
		backend http.HandlerFunc
		took    time.Duration
	}{
		"returns when it is told to": {hang, grace},
		"does not return":            {func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Hour) }, grace + returnTimeoutWhenCut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				patiently := func(p *Policy) { p.Timeout = 2 * time.Hour }
				old := dispatch(t, c.backend, patiently)
				old.accept("a", 3)
				time.Sleep(time.Minute)
				begin := time.Now()
				var got []string
				next := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					got = append(got, fmt.Sprintf("%s after %s, attempt %s", r.Header.Get("Idempotency-Key"), time.Since(begin), r.Header.Get("X-Instagram-Attempt")))
					w.WriteHeader(200)
				}, patiently, old.store)
				time.AfterFunc(time.Second, func() { next.accept("b", 1) })
				old.Stop(grace)
				if took := time.Since(begin); took != c.took {
					t.Errorf("stopping took %s, want %s", took, c.took)
				}
				synctest.Wait()
				want := []string{"b/1 after 1s, attempt 1"}
				for n := range 3 {
					want = append(want, fmt.Sprintf("a/%d after %s, attempt 1", n+1, c.took))
				}
				if !slices.Equal(got, want) {
					t.Errorf("the new Dispatcher delivered\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				next.expect(map[State]int{Delivered: 4})
				for _, e := range next.events() {
					if e.Attempts != 1 || e.LastError != "" {
						t.Errorf("%s: %d attempts, the last error is %q", e.Identity, e.Attempts, e.LastError)
					}
				}
				if n := old.logs.FilterMessage(msgCut).Len(); n != 1 {
					t.Errorf("%d lines about the attempt that was cut, want 1", n)
				}
				if n := old.logs.FilterMessage(msgFailed).Len(); n != 0 {
					t.Errorf("%d lines about failures", n)
				}
				time.Sleep(3 * time.Hour) // until the backend returns
			})
		})
	}
}

// TestHandlerThatHoldsUpTheQueueIsNamed has attempts that outlast their timeout
// until there may be no more of them: what stands still must not do so silently.
func TestHandlerThatHoldsUpTheQueueIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Hour) },
			func(p *Policy) { p.Concurrency = 2 })
		for n := range 3 {
			tr.accept(fmt.Sprint(n), 1)
		}
		time.Sleep(time.Hour)
		lines := tr.logs.FilterMessage(msgStuck).All()
		if len(lines) == 0 || lines[0].Level != zap.WarnLevel || lines[0].ContextMap()["concurrency"] != int64(2) {
			t.Errorf("the log says %v", lines)
		}
		tr.Stop(time.Second)
		time.Sleep(10 * time.Hour) // until they return
	})
}
