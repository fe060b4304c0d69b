package memory_test

import (
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/memory"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(string) storetest.Opener {
		return storetest.Opener{
			Open:     func() (queue.Store, error) { return memory.New(), nil },
			Volatile: true,
		}
	})
}
