package queue

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// settle stores the outcome of an attempt. If that fails, it tries again until the
// Dispatcher stops: the event stays leased meanwhile, so that it is not delivered
// again. If there was an attempt, reason and cause say why it failed.
func (d *Dispatcher) settle(l lease, o Outcome, reason, cause string) {
	var pause backoff
	for {
		err := d.store.Settle(d.settling, l.Event, o)
		switch {
		case err == nil:
			if o.State == Dead && d.isErased(l.Event) {
				return // it is no dead letter
			}
			d.logOutcome(l.Event, o, reason, cause)
			return
		case errors.Is(err, ErrNotFound) && l.isLost():
			return
		case errors.Is(err, ErrClosed), errors.Is(err, ErrNotFound):
			d.logStoreError("settling", err)
			return
		}
		d.logStoreError("settling", err)
		if !pause.wait(d.settling) {
			d.abandonSettling(l, o)
			return
		}
	}
}

// isErased reports whether an event was erased while its attempt was under way.
func (d *Dispatcher) isErased(e *Event) bool {
	erased, err := d.store.List(d.settling, Filter{ID: e.ID, Consumer: e.Consumer, State: Erased, Limit: 1})
	return err == nil && len(erased) > 0
}

// abandonSettling releases an event whose outcome could not be stored: delivering it
// twice is better than never.
func (d *Dispatcher) abandonSettling(l lease, o Outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := d.store.Settle(ctx, l.Event, Outcome{Released: true}); err != nil && !(errors.Is(err, ErrNotFound) && l.isLost()) {
		d.logStoreError("releasing", err)
	}
	if o.State != Pending {
		d.logger.Error("what became of an event could not be stored: it will be delivered again",
			append(fields(l.Event), zap.String("state", string(o.State)))...)
	}
}

// release returns an event that was not tried.
func (d *Dispatcher) release(l lease) {
	d.settlements.Go(func() { d.settle(l, Outcome{Released: true}, "", "") })
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
