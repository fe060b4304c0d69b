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

// result is the result of an attempt.
type result struct {
	Attempt // its Error says why it failed; Ended is set last

	// reason is the kind of failure, for metrics and logs: a status, or one of
	// the reasons below. It is empty when the event was delivered.
	reason string

	cause      string        // why it failed, for logs: without anything of an answer's body
	status     int           // that the backend failed with, or 0
	retryAfter time.Duration // that the backend asked for
	cut        bool          // by the end of the dispatcher or of the lease: not a failure
	stack      []byte        // of a panic
}

// The reasons of failures that are no status.
const (
	reasonTimeout = "timeout"
	reasonPanic   = "panic"
	reasonBroken  = "broken"

	// ReasonUnhandled is that no handler took the event.
	ReasonUnhandled = "untaken"
)

// returnTimeout is how long the backend may take to return once an attempt is
// over. Most do at once, but php_fastcgi without a read_timeout waits for PHP.
// Stop waits for returnTimeoutWhenCut only.
const (
	returnTimeout        = 5 * time.Second
	returnTimeoutWhenCut = time.Second
)

// attempt delivers an event once. If the backend did not return in time, the attempt
// was abandoned and settled already, and its result does not count.
func (d *Dispatcher) attempt(l lease) (res result, abandoned bool) {
	begin := time.Now()
	defer func() { res.Took = time.Since(begin) }()
	ctx, cancel := context.WithDeadline(l.attempting, begin.Add(d.policy.Timeout))
	defer cancel()
	r, err := makeRequest(ctx, l.Event)
	if p := new(panicked); errors.As(err, &p) {
		return p.result(l.Event), false
	}
	if err != nil {
		return brokenOff(err.Error()), false
	}
	if l.isLost() { // while this waited for its turn to run
		return result{cut: true}, false
	}
	var ended atomic.Bool
	abandon := func() {
		if ended.CompareAndSwap(false, true) {
			r := d.timeout(ctx)
			r.Took = time.Since(begin)
			d.abandon(l, r)
		}
	}
	defer context.AfterFunc(ctx, func() {
		stop := context.AfterFunc(l.attempting, func() { time.AfterFunc(returnTimeoutWhenCut, abandon) })
		time.AfterFunc(returnTimeout, func() { stop(); abandon() })
	})()
	a := newAnswer(ctx, d.policy.KeepAnswers)
	err = d.serve(a, r)
	res = d.resultOf(l.Event, a, err)
	a.note(&res)
	return res, !ended.CompareAndSwap(false, true)
}

// makeRequest is NewRequest, and returns an error if that panicked.
func makeRequest(ctx context.Context, e *Event) (_ *http.Request, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return NewRequest(ctx, e)
}

// timeout is the result of an attempt that has ended with ctx.
func (d *Dispatcher) timeout(ctx context.Context) result {
	if ctx.Err() == context.Canceled {
		return result{cut: true}
	}
	text := "timeout after " + d.policy.Timeout.String()
	return result{reason: reasonTimeout, Attempt: Attempt{Error: text}, cause: text}
}

// brokenOff is the result of an attempt without a whole answer.
func brokenOff(text string) result {
	return result{reason: reasonBroken, Attempt: Attempt{Error: text}, cause: text}
}

// serve calls the backend, and returns an error also if it panicked.
func (d *Dispatcher) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return d.backend(w, r)
}

// panicked is the error of a backend that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprint("panic: ", p.value) }

// result returns how an attempt ended that panicked.
func (p *panicked) result(e *Event) result {
	text := "panic: " + causeOf(p.value, e)
	return result{reason: reasonPanic, Attempt: Attempt{Error: text}, cause: text, stack: p.stack}
}

// resultOf tells how an attempt ended that was answered so far, and that the backend
// ended with this error, or nil.
func (d *Dispatcher) resultOf(e *Event, a *answer, err error) result {
	var p *panicked
	var f *Failure
	over := a.ctx.Err()
	switch {
	case a.ok() && a.whole() && err == nil:
		// Even when it comes late: the backend has the event.
		return result{}
	case errors.As(err, &p):
		r := p.result(e)
		r.cut = over == context.Canceled
		return r
	case a.status != 0 && !a.ok() && !a.late:
		return result{
			reason:     strconv.Itoa(a.status),
			Attempt:    Attempt{Error: a.error()},
			cause:      a.cause(),
			status:     a.status,
			retryAfter: waitOf(a.retryAfter),
		}
	case over != nil:
		return d.timeout(a.ctx)
	case errors.As(err, &f):
		return f.result(e)
	case a.status == 0:
		return brokenOff("there was no answer")
	default:
		return brokenOff(fmt.Sprintf("%d: the answer broke off after %d bytes", a.status, a.written))
	}
}
