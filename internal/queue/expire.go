package queue

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// The pauses between two steps of expiry.
const (
	expireInterval = time.Minute            // after the last step
	expirePause    = 100 * time.Millisecond // at least, between steps
)

// Expire forgets in small steps what is no longer to be kept, until ctx ends or the
// Store is closed. It uses the Store for at most half of the time. One call serves all
// consumers of a Store.
func Expire(ctx context.Context, store Store, retention Retention, logger *zap.Logger) {
	pause := expirePause
	for sleep(ctx, pause) {
		begin := time.Now()
		more, err := store.Expire(ctx, retention)
		switch {
		case errors.Is(err, ErrClosed):
			return
		case err != nil && ctx.Err() == nil:
			logger.Error(msgStore, zap.String("while", "expiring"), zap.Error(err))
		}
		pause = expireInterval
		if more && err == nil {
			pause = max(expirePause, time.Since(begin))
		}
	}
}
