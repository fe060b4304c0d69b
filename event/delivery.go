// Package event describes what Meta sends to a webhook, free of Caddy.
package event

import (
	"context"
	"crypto/sha256"
	"sync"
)

// Delivery is one authenticated POST request from Meta. A Delivery exists only
// for a body whose signature matched an app secret; handlers that find one in
// a request's context may trust its bytes.
type Delivery struct {
	// Body holds the raw bytes that Meta signed. Nobody may change them, and
	// they are valid only until the handler that authenticated them returns:
	// copy what must live longer. Events do, they have a copy of their own.
	Body []byte

	// Secret is the name of the app secret whose signature matched. It is
	// never the secret itself.
	Secret string

	// Signer signs with that secret what is made of the delivery. It may be
	// used after End.
	Signer Signer

	accepted bool
	failure  error
	size     int // of Body, once it has ended

	split  sync.Once
	events []Event
}

// Signer makes signatures as Meta does, without giving the app secret away.
type Signer interface {
	// Sign returns the HMAC-SHA256 of body under the app secret. See Meta's
	// "Webhooks › Getting started › Validating payloads".
	Sign(body []byte) [sha256.Size]byte
}

// Size returns the size of the body in bytes, also after End.
func (d *Delivery) Size() int { return max(len(d.Body), d.size) }

// End takes the body away, for its memory to be used again. It must not be
// called while somebody uses the delivery.
func (d *Delivery) End() {
	d.size = len(d.Body)
	d.Body = nil
	d.split.Do(func() {}) // from now on there is nothing to split
}

// Events returns the events of the delivery, in order; there is at least one.
// The body is taken apart at the first call. All calls return the same slice,
// which nobody may change. If the first call comes after End, there are none.
func (d *Delivery) Events() []Event {
	d.split.Do(func() { d.events = Split(d.Body) })
	return d.events
}

// Accept records that a handler took responsibility for the delivery: it has
// done what an answer of 200 promises, so that an empty 200 is the truth.
func (d *Delivery) Accept() { d.accepted = true }

// Accepted reports whether a handler called Accept, and none called Fail.
func (d *Delivery) Accepted() bool { return d.accepted && d.failure == nil }

// Fail records why a handler could not do what an answer of 200 promises. From
// then on the delivery has failed, whatever other handlers accept, and whatever
// becomes of the error on its way: it is answered with the status of a
// caddyhttp.HandlerError in err, or with 500, for Meta to send it again. Of
// several errors the first stays.
//
// It is to be called before anything is written: a success that is on its way
// already can only be broken off.
func (d *Delivery) Fail(err error) {
	if d.failure == nil {
		d.failure = err
	}
}

// Failure returns the error that Fail was called with, or nil.
func (d *Delivery) Failure() error { return d.failure }

type contextKey struct{}

// NewContext returns a copy of ctx that carries d.
func NewContext(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, contextKey{}, d)
}

// FromContext returns the delivery that NewContext put into ctx, or nil when
// the request was not authenticated.
func FromContext(ctx context.Context) *Delivery {
	d, _ := ctx.Value(contextKey{}).(*Delivery)
	return d
}
