package handler

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// reserved begins the names of headers that operators set from our
// placeholders. Meta sends none of these: a client that does is lying.
const reserved = "X-Instagram-"

// dropReservedHeaders removes what a client sent to imitate us.
func dropReservedHeaders(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(name, reserved) {
			delete(r.Header, name)
		}
	}
}

// redact takes from a request that was rejected what error routes must not see:
// the body, as it may be forged, the query, which may hold a verify token, and
// the signatures.
func redact(r *http.Request) {
	setBody(r, http.NoBody, 0)
	for _, name := range []string{"Content-Length", meta.HeaderSignature, meta.HeaderLegacySignature} {
		r.Header.Del(name)
	}
	dropQuery(r)
	ctx := r.Context()
	original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return
	}
	dropQuery(&original)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		// For placeholders that are bound to a request before this one.
		repl.Set("http.request.orig_uri", original.RequestURI)
	}
	*r = *r.WithContext(context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, original))
}

func dropQuery(r *http.Request) {
	r.URL.RawQuery, r.URL.ForceQuery = "", false
	r.RequestURI, _, _ = strings.Cut(r.RequestURI, "?")
}

// clientIPOf returns the address that a request came from, by way of trusted proxies.
func clientIPOf(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// setBody gives r a body of known length, which has neither a transfer coding
// nor trailer fields.
func setBody(r *http.Request, body io.ReadCloser, length int) {
	r.Body, r.ContentLength = body, int64(length)
	r.TransferEncoding, r.Trailer = nil, nil
	delete(r.Header, "Trailer")
}

// forward makes r what the next handler sees: the same bytes with a known length,
// and the delivery in its context.
func forward(r *http.Request, d *event.Delivery, body *replay) {
	if r.ContentLength != int64(len(d.Body)) || len(r.Header["Content-Length"]) != 1 {
		r.Header.Set("Content-Length", strconv.Itoa(len(d.Body)))
	}
	setBody(r, body, len(d.Body))
	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(d.Lookup)
	}
	// In place, because the placeholders of Caddy are bound to this request.
	*r = *r.WithContext(event.NewContext(ctx, d))
}
