package queue

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// settle stores what becomes of an event. If that fails, the event must not be
// delivered again, so it stays leased, and settle tries again until the
// Dispatcher stops. The reason is that of the failure, if there was one.
func (d *Dispatcher) settle(e *Event, o Outcome, reason string) {
	var pause backoff
	for {
		err := d.store.Settle(d.settling, e, o)
		switch {
		case err == nil:
			d.tell(e, o, reason)
			return
		case errors.Is(err, ErrClosed), errors.Is(err, ErrNotFound):
			d.troubled("settling", err)
			return
		}
		d.troubled("settling", err)
		if !pause.wait(d.settling) {
			d.abandon(e, o)
			return
		}
	}
}

// abandon gives up to settle an event. One that is to be tried again is given
// back. One that the backend has would be delivered twice then.
func (d *Dispatcher) abandon(e *Event, o Outcome) {
	if o.State == Pending {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if d.store.Settle(ctx, e, Outcome{Released: true}) == nil {
			return
		}
	}
	d.logger.Error("what became of an event could not be stored: it stays as it is until the store is opened again, and is delivered again then",
		append(fields(e), zap.String("state", string(o.State)))...)
}

// release gives an event back that was not tried.
func (d *Dispatcher) release(e *Event) {
	d.settlements.Go(func() { d.settle(e, Outcome{Released: true}, "") })
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
