package queue

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// unusable stands for a store that this version cannot read, or cannot bring to its layout:
// it refuses deliveries, and the other sites of the config are served.
type unusable struct{ err error }

// openUnusable returns a store that refuses all. The next config tries to open it again.
func openUnusable(name string, logger *zap.Logger, err error) *SharedStore {
	o := &SharedStore{Store: unusable{err}, name: name, loggers: []*zap.Logger{logger}}
	o.key = o
	stores.LoadOrStore(o.key, o)
	o.refused(err)
	return o
}

// unusable returns 1 for a store that cannot be read, else 0.
func (o *SharedStore) unusable() int {
	if _, is := o.Store.(unusable); is {
		return 1
	}
	return 0
}

// Join implements queue.Store, so that the config starts.
func (unusable) Join(context.Context, []queue.Consumer) error { return nil }

// Lease implements queue.Store. It ends the dispatchers.
func (unusable) Lease(context.Context, string, int) ([]*queue.Event, context.Context, error) {
	return nil, nil, queue.ErrClosed
}

// Expire implements queue.Store.
func (unusable) Expire(context.Context, queue.Retention) (bool, error) { return false, queue.ErrClosed }

// Close implements queue.Store.
func (unusable) Close() error { return nil }

// Accept and the other methods implement queue.Store.
func (u unusable) Accept(context.Context, []queue.Record, queue.Admission) ([]bool, error) {
	return nil, u.err
}
func (u unusable) Settle(context.Context, *queue.Event, queue.Outcome) error { return u.err }
func (u unusable) List(context.Context, queue.Filter) ([]queue.Event, error) { return nil, u.err }
func (u unusable) Last(context.Context) (uint64, error)                      { return 0, u.err }
func (u unusable) Requeue(context.Context, queue.Filter, time.Duration) (int, error) {
	return 0, u.err
}
func (u unusable) Erase(context.Context, queue.Erasure) (int, error) { return 0, u.err }
func (u unusable) Discard(context.Context, string, uint64) error     { return u.err }
func (u unusable) Pause(context.Context, string, bool) error         { return u.err }
func (u unusable) Drop(context.Context, string) error                { return u.err }
func (u unusable) Stats(context.Context) ([]queue.Stats, error)      { return nil, u.err }

// Check and the other methods implement queue.Maintainer, to say what is wrong.
func (u unusable) Check(context.Context) error                   { return u.err }
func (u unusable) Backup(context.Context, string) error          { return u.err }
func (u unusable) Compact(context.Context) (_, _ int64, _ error) { return 0, 0, u.err }

var _ queue.Maintainer = unusable{}
