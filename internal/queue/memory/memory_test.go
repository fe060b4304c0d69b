package memory

import (
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

// TestStore holds the store against the contract. Its tests open a store again that was
// closed, and this one has nothing then: what it held is carried over, but no leases.
func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(string) storetest.Opener {
		last := New()
		return storetest.Opener{Open: func() (queue.Store, error) {
			next := New()
			next.consumers, next.events, next.seen = last.consumers, last.events, last.seen
			next.lastID, next.serial = last.lastID, last.serial
			for _, e := range next.events {
				e.InFlight = false
			}
			last = next
			return next, nil
		}}
	})
}
