package queue

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOutage shows that an application that is down is not asked as fast as it
// refuses, and that all goes on once it is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		var up atomic.Bool
		tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) {
			attempts.Add(1)
			status := http.StatusBadGateway
			if up.Load() {
				status = http.StatusOK
			}
			w.WriteHeader(status)
		})
		const events = 800
		for i := range events {
			tr.accept(strconv.Itoa(i), 1)
		}
		const wait = 2 * time.Second
		time.Sleep(wait)
		if got, most := attempts.Load(), int64(outageAfter+wait/cooldown+1); got > most || got < most/2 {
			t.Errorf("%d attempts in %s, want up to %d", got, wait, most)
		}
		up.Store(true)
		time.Sleep(time.Hour)
		tr.expect(map[State]int{Delivered: events})
	})
}
