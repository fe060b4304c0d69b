package queue

import (
	"context"

	"go.uber.org/zap"
)

// SpaceTeller is a Store that knows how much room it has.
type SpaceTeller interface {
	// Free returns how many bytes could be accepted, as Accept would find them.
	Free(ctx context.Context) (int64, error)
}

// warnOfSpace tells at the start that deliveries will be refused, instead of
// leaving that to the first one.
func (q *queue) warnOfSpace() {
	teller, ok := q.store.Store.(SpaceTeller)
	if !ok {
		return
	}
	least := *q.handler.MinFreeSpace
	if free, err := teller.Free(context.Background()); err == nil && free < least {
		q.logger.Warn("less is free than min_free_space: deliveries will be refused until there is more room",
			zap.String("store", q.store.name),
			zap.String("free", size(free)),
			zap.String("min_free_space", size(least)))
	}
}
