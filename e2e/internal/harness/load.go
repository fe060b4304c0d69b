package harness

import (
	"context"
	"iter"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// Load is many senders that deliver at the same time, one delivery after the
// other each, until Caddy answers no more or the load is stopped.
type Load struct {
	stopped atomic.Bool
	running sync.WaitGroup
}

// StartLoad starts so many senders. What is acknowledged, and how much is refused
// with 503, goes into the ledger. Any other answer fails the test. The function
// next is called for each delivery, and returns its body and the ids of its
// events.
func StartLoad(
	t testing.TB, url string, senders int, ledger *Ledger, next func(sender int) (ids []string, body []byte),
) *Load {
	t.Helper()
	l := new(Load)
	for sender := range senders {
		l.running.Go(func() {
			client := &simulate.Client{URL: url, Secret: Secret, Timeout: Timeout}
			defer client.Close()
			for !l.stopped.Load() {
				ids, body := next(sender)
				switch outcome := client.Deliver(context.Background(), body); {
				case outcome.Err != nil:
					return // Caddy was killed
				case outcome.OK():
					ledger.Add(ids...)
				case outcome.Status == http.StatusServiceUnavailable:
					ledger.Refuse()
				default:
					t.Errorf("an authentic delivery was answered with %d", outcome.Status)
				}
			}
		})
	}
	return l
}

// Stop ends the load once all that was sent is answered.
func (l *Load) Stop() {
	l.stopped.Store(true)
	l.running.Wait()
}

// Rounds counts to all, or, on a busy machine, until a minute has passed and there
// were a few: tests that repeat themselves are to end in time there too.
func Rounds(all, few int) iter.Seq[int] {
	return func(yield func(int) bool) {
		began := time.Now()
		for n := 0; n < all && (n < few || time.Since(began) < time.Minute); n++ {
			if !yield(n) {
				return
			}
		}
	}
}
