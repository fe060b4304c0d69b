// Package event takes apart what Meta sends to a webhook. It needs no Caddy, so that
// applications can use it to read what this plugin passes on or stores: Split makes
// events of the body of a delivery, and ID recognises one that comes again.
//
// Handlers of this plugin pass the authenticated Delivery on in the context of the
// request.
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
	// Body holds the raw bytes that Meta signed. It must not be changed, and is
	// valid only until the handler that authenticated it returns: copy what must
	// live longer. Events have a copy of their own.
	Body []byte

	// Secret is the name of the app secret whose signature matched. It is
	// never the secret itself.
	Secret string

	// Signer signs data with that secret, such as the envelopes of the events. It
	// may be used after End.
	Signer Signer

	accepted bool
	failure  error
	size     int // of Body, after End

	split  sync.Once
	events []Event
}

// Signer makes signatures as Meta does, without revealing the app secret.
type Signer interface {
	// Sign returns the HMAC-SHA256 of body under the app secret. See Meta's
	// "Webhooks › Getting started › Validating payloads".
	Sign(body []byte) [sha256.Size]byte
}

// Size returns the size of the body in bytes, also after End.
func (d *Delivery) Size() int { return max(len(d.Body), d.size) }

// End drops the body, so that its memory can be used again. It must not be called
// while the delivery is in use.
func (d *Delivery) End() {
	d.size = len(d.Body)
	d.Body = nil
	d.split.Do(func() {}) // there is nothing left to split
}

// Events returns the events of the delivery in order, at least one. The first call
// splits the body; all calls return the same slice, which must not be changed. If
// the first call comes after End, there are no events.
func (d *Delivery) Events() []Event {
	d.split.Do(func() { d.events = Split(d.Body) })
	return d.events
}

// Accept records that a handler took responsibility for the delivery, for example
// by storing it, so that it may be answered with an empty 200.
func (d *Delivery) Accept() { d.accepted = true }

// Accepted reports whether a handler called Accept, and none called Fail.
func (d *Delivery) Accepted() bool { return d.accepted && d.failure == nil }

// Fail records why a handler could not take responsibility for the delivery. From
// then on the delivery has failed, even if other handlers accept it or handle the
// error: it is answered with the status of a caddyhttp.HandlerError in err, or with
// 500, so that Meta sends it again. Only the first error is kept.
//
// Call Fail before anything is written: if a successful answer is already on its
// way, the connection can only be aborted.
func (d *Delivery) Fail(err error) {
	if d.failure == nil {
		d.failure = err
	}
}

// Failure returns the error that Fail was first called with, or nil.
func (d *Delivery) Failure() error { return d.failure }

type contextKey struct{}

// NewContext returns a copy of ctx that carries d.
func NewContext(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, contextKey{}, d)
}

// FromContext returns the delivery that NewContext put into ctx, or nil if the
// request was not authenticated.
func FromContext(ctx context.Context) *Delivery {
	d, _ := ctx.Value(contextKey{}).(*Delivery)
	return d
}
