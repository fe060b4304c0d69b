package handler

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/accesslog"
	"github.com/caddy-instagram/webhooks/internal/forward"
)

// exchange is one request and the response to it.
type exchange struct {
	h   *Handler
	r   *http.Request
	w   recorder
	log accesslog.Request

	rejection *rejection // by this handler; nil if there is none
	failure   error      // of this handler or a later one

	verification bool // a verification request was accepted or rejected
	authentic    bool // a delivery's signature has matched
	caught       bool // failure did not come out of the next handler: something caught it
	completed    bool // there was no panic

	// These belong to an authentic delivery.
	secret   *secret
	delivery event.Delivery
	buffer   *buffer
	body     *replay // reads from buffer
	first    replay  // body until there is an error
}

// begin takes a request over before any later handler sees it.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) *exchange {
	forward.DropReservedHeaders(r)
	x := &exchange{h: h, r: r, log: h.log.Take(r)}
	x.w.ResponseWriter = w
	return x
}

// end counts and logs what became of the request, and gives its memory back.
func (x *exchange) end() {
	x.h.metrics.count(x)
	if !x.authentic {
		x.log.Access(0, x.w.status, x.w.size, x.w.Header())
		return
	}
	x.h.monitor.observe(x)
	x.log.Access(x.delivery.Size(), x.w.status, x.w.size, x.w.Header())
	x.body.end()
	watched := x.h.feed.Watched()
	if watched || x.h.accounts {
		x.delivery.Events() // while there is something to split
	}
	x.delivery.End()
	x.buffer.free()
	x.publish(watched)
}

// verify answers the request that Meta sends when a callback URL is set (see
// "Webhooks › Getting started › Verification requests"). It has no signature.
func (x *exchange) verify() error {
	challenge, rejected := x.h.checkVerification(x.r)
	x.verification = true
	if rejected != nil {
		return x.reject(rejected)
	}
	writeChallenge(&x.w, challenge)
	return nil
}

// authenticate rejects a delivery that is not authentic, and makes any other what
// the next handler sees.
func (x *exchange) authenticate() error {
	secret, buffer, rejected := x.h.checkDelivery(x.r)
	x.h.metrics.seconds.Observe(time.Since(x.log.Start).Seconds())
	if rejected != nil {
		return x.reject(rejected)
	}
	x.authentic = true
	x.secret, x.buffer, x.body = secret, buffer, &x.first
	secret.matched.Set(x.log.Start)
	x.body.reader.Reset(buffer.Bytes())
	x.delivery.Body, x.delivery.Secret, x.delivery.Signer = buffer.Bytes(), secret.Name, secret
	x.w.delivery, x.w.accept2xx = &x.delivery, x.h.Accept2xx
	forward.Delivery(x.r, &x.delivery, x.body)
	return nil
}

// finish sees to a response to an authentic delivery, about which the next handler
// returned err.
func (x *exchange) finish(err error) error {
	if failure := x.delivery.Failure(); failure != nil {
		// It counts even if the error routes of a subroute have caught it.
		x.caught = err == nil
		err = failure
	}
	switch {
	case err != nil:
		return err
	case x.w.written():
	case x.delivery.Accepted():
		x.w.WriteHeader(http.StatusOK)
	default:
		// An empty 200 would make Meta forget what nobody has taken.
		return x.reject(unhandled.withCause(errNoHandler))
	}
	return nil
}

// reject logs a rejection and returns it as an error of Caddy's.
func (x *exchange) reject(rejected *rejection) error {
	if !x.authentic {
		redact(x.r)
	}
	x.rejection = rejected
	x.h.feed.Refuse(x.log.Start, rejected.reason.name, rejected.reason.status, rejected.err, clientIPOf(x.r))
	x.h.logRejection(x.r, rejected)
	return caddyhttp.Error(rejected.reason.status, caddyhttp.HandlerError{
		Err:        rejected.err,
		StatusCode: rejected.reason.status,
		Trace:      rejected.reason.name, // instead of a costly call stack, which would always lead here
	})
}

// rejectedFor returns the name of the reason for which this handler rejected the
// request, or "".
func (x *exchange) rejectedFor() string {
	if x.rejection == nil {
		return ""
	}
	return x.rejection.reason.name
}

// answered reports whether there was a whole response.
func (x *exchange) answered() bool { return x.completed && x.w.written() }
