package bolt

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestLocks uses the store for everything at the same time. Whoever holds one of
// its locks and waits for another must not be waited for by the one who has that.
func TestLocks(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	forever := func(do func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					do(i)
				}
			}
		})
	}
	forever(func(i int) { accept(t, s, record(strconv.Itoa(i), strconv.Itoa(i%7))) })
	forever(func(int) {
		events, _, err := s.lease(10)
		if err != nil {
			t.Error(err)
		}
		for _, e := range events {
			settle(t, s, e, queue.Outcome{State: queue.Delivered})
		}
	})
	forever(func(int) {
		if _, err := s.Stats(ctx); err != nil {
			t.Error(err)
		}
	})
	forever(func(int) {
		if _, err := s.List(ctx, queue.Filter{Limit: 100}); err != nil {
			t.Error(err)
		}
	})
	// A panic in this goroutine would wait for the store to be closed.
	defer time.AfterFunc(5*time.Minute, func() { panic("the store is locked for ever") }).Stop()
	for range 30 {
		if _, _, err := s.Compact(ctx); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}
