package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

// result is how an attempt ended.
type result struct {
	// reason is the kind of failure, for metrics and logs: a status, or one of
	// the reasons below. It is empty when the event was delivered.
	reason string

	text       string        // says why it failed
	status     int           // that the backend failed with, or 0
	retryAfter time.Duration // that the backend asked for
	cut        bool          // by the end of the dispatcher: not a failure
	stack      []byte        // of a panic
}

// The reasons of failures that are no status.
const (
	reasonTimeout = "timeout"
	reasonPanic   = "panic"
	reasonBroken  = "broken"
)

// patienceToReturn is how long the backend may take to return once an attempt is
// over. Most do at once, but php_fastcgi without a read_timeout waits for PHP.
const patienceToReturn = 5 * time.Second

// attempt delivers an event once. If the backend did not return, the attempt has
// been abandoned, and its result does not count.
func (d *Dispatcher) attempt(e *Event) (_ result, abandoned bool) {
	ctx, cancel := context.WithTimeout(d.attempting, d.policy.Timeout)
	defer cancel()
	r, err := makeRequest(ctx, e)
	if p := new(panicked); errors.As(err, &p) {
		return result{reason: reasonPanic, text: p.Error(), stack: p.stack}, false
	}
	if err != nil {
		return result{reason: reasonBroken, text: err.Error()}, false
	}
	var ended atomic.Bool
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(patienceToReturn, func() {
			if ended.CompareAndSwap(false, true) {
				d.abandon(e, d.timeout(ctx))
			}
		})
	})()
	a := newAnswer(ctx)
	aborted := d.serve(a, r)
	return d.judge(a, aborted), !ended.CompareAndSwap(false, true)
}

// makeRequest is newRequest, and returns an error if that panicked.
func makeRequest(ctx context.Context, e *Event) (_ *http.Request, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return newRequest(ctx, e)
}

// timeout is the result of an attempt that has ended with ctx.
func (d *Dispatcher) timeout(ctx context.Context) result {
	if ctx.Err() == context.Canceled {
		return result{cut: true}
	}
	return result{reason: reasonTimeout, text: "timeout after " + d.policy.Timeout.String()}
}

// serve calls the backend, and returns an error if it panicked.
func (d *Dispatcher) serve(w http.ResponseWriter, r *http.Request) (aborted error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			aborted = http.ErrAbortHandler
		default:
			aborted = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	d.backend.ServeHTTP(w, r)
	return nil
}

// panicked is the error of a backend that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string {
	text := fmt.Sprint(p.value)
	return "panic: " + printable(text[:min(len(text), maxText)])
}

// judge tells how an attempt ended that was answered so far.
func (d *Dispatcher) judge(a *answer, aborted error) result {
	var p *panicked
	panics := errors.As(aborted, &p)
	over := a.ctx.Err()
	switch {
	case a.ok() && a.whole() && aborted == nil:
		// Even when it comes late: the backend has the event.
		return result{}
	case panics:
		return result{reason: reasonPanic, text: p.Error(), cut: over == context.Canceled, stack: p.stack}
	case a.status != 0 && !a.ok() && !a.late:
		return result{
			reason:     strconv.Itoa(a.status),
			text:       a.error(),
			status:     a.status,
			retryAfter: waitOf(a.retryAfter),
		}
	case over != nil:
		return d.timeout(a.ctx)
	case a.status == 0:
		return result{reason: reasonBroken, text: "there was no answer"}
	default:
		return result{reason: reasonBroken, text: fmt.Sprintf("%d: the answer broke off after %d bytes", a.status, a.written)}
	}
}
