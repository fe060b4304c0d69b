package queue_test

import (
	"context"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/memory"
)

func init() {
	queue.NewMemory = func() queue.Store {
		s := memory.New()
		if err := s.Join(context.Background(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
			panic(err)
		}
		return s
	}
}
