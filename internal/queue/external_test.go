package queue_test

import (
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/memory"
)

func init() {
	queue.NewMemory = func() queue.Store { return memory.New() }
}
