package queue

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// settle stores what becomes of an event. If that fails, the event must not be
// delivered again, so it stays leased, and settle tries again until the
// Dispatcher stops. The result is that of the attempt, if there was one.
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

// abandonSettling gives up to settle an event and gives it back: to deliver it twice is
// better than never, should the store be in use for long yet.
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

// release gives an event back that was not tried.
func (d *Dispatcher) release(e *Event) {
	d.settlements.Go(func() { d.settle(e, Outcome{Released: true}, result{}) })
}

// backoff is the time to wait after an error of the Store. It doubles with each.
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
