// Package forward makes a request what the handlers see that take an authentic delivery.
package forward

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// reserved begins the names of headers that operators set from our placeholders. Meta
// sends none of these: a client that does is lying.
const reserved = "X-Instagram-"

// DropReservedHeaders removes what a client sent to imitate us. To PHP and its like, an
// underscore is a hyphen: with one, a client could also imitate the signature.
func DropReservedHeaders(r *http.Request) {
	for name := range r.Header {
		if hasPrefix(name, reserved) || strings.Contains(name, "_") && hasPrefix(name, meta.HeaderLegacySignature) {
			delete(r.Header, name)
		}
	}
}

// hasPrefix reports whether the name of a header begins so, as an application sees it.
func hasPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		if c == '_' {
			c = '-'
		}
		if c|0x20 != prefix[i]|0x20 {
			return false
		}
	}
	return true
}

// SetBody gives r a body of known length, which has neither a transfer coding nor trailer
// fields.
func SetBody(r *http.Request, body io.ReadCloser, length int) {
	r.Body, r.ContentLength = body, int64(length)
	r.TransferEncoding, r.Trailer = nil, nil
	delete(r.Header, "Trailer")
}

// Delivery makes r a request with the bytes of the delivery, which body has, and with the
// delivery in its context.
func Delivery(r *http.Request, d *event.Delivery, body io.ReadCloser) {
	if r.ContentLength != int64(len(d.Body)) || len(r.Header["Content-Length"]) != 1 {
		r.Header.Set("Content-Length", strconv.Itoa(len(d.Body)))
	}
	SetBody(r, body, len(d.Body))
	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(d.Lookup)
	}
	// In place, because the placeholders of Caddy are bound to this request.
	*r = *r.WithContext(event.NewContext(ctx, d))
}
