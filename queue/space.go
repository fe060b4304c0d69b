package queue

import (
	"context"

	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// warnOfSpace tells at the start that deliveries will be refused, instead of
// leaving that to the first one.
func (q *runner) warnOfSpace() {
	teller, ok := q.store.Store.(queue.SpaceTeller)
	if !ok {
		return
	}
	least := *q.handler.MinFreeSpace
	if free, err := teller.Free(context.Background()); err == nil && free < least {
		q.logger.Warn("less is free than min_free_space: deliveries will be refused until there is more room",
			zap.String("store", q.store.name),
			zap.String("free", humanize.IBytes(uint64(max(0, free)))),
			zap.String("min_free_space", humanize.IBytes(uint64(least))))
	}
}
