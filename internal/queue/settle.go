package queue

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// settle stores the outcome of an attempt. If that fails, it tries again until the
// Dispatcher stops: the event stays leased meanwhile, so that it is not delivered
// again. The result is that of the attempt, if there was one.
func (d *Dispatcher) settle(e *Event, o Outcome, r result) {
	var pause backoff
	for {
		err := d.store.Settle(d.settling, e, o)
		switch {
		case err == nil:
			d.logOutcome(e, o, r)
			return
		case errors.Is(err, ErrClosed), errors.Is(err, ErrNotFound):
			d.logStoreError("settling", err)
			return
		}
		d.logStoreError("settling", err)
		if !pause.wait(d.settling) {
			d.abandonSettling(e, o)
			return
		}
	}
}

// abandonSettling releases an event whose outcome could not be stored: delivering it
// twice is better than never.
func (d *Dispatcher) abandonSettling(e *Event, o Outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := d.store.Settle(ctx, e, Outcome{Released: true}); err != nil {
		d.logStoreError("releasing", err)
	}
	if o.State != Pending {
		d.logger.Error("what became of an event could not be stored: it will be delivered again",
			append(fields(e), zap.String("state", string(o.State)))...)
	}
}

// release returns an event that was not tried.
func (d *Dispatcher) release(e *Event) {
	d.settlements.Go(func() { d.settle(e, Outcome{Released: true}, result{}) })
}

// backoff is the time to wait after an error of the Store. It doubles with each error.
type backoff time.Duration

// The bounds of a backoff.
const (
	firstBackoff = backoff(50 * time.Millisecond)
	maxBackoff   = backoff(5 * time.Second)
)

// wait waits, and reports false if ctx ended first.
func (b *backoff) wait(ctx context.Context) bool {
	*b = max(firstBackoff, min(2**b, maxBackoff))
	return sleep(ctx, time.Duration(*b))
}

// sleep waits, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
