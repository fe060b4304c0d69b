package handler

import (
	"context"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/forward"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// redact takes from a request that was rejected what error routes must not see:
// the body, as it may be forged, the query, which may hold a verify token, and
// the signatures.
func redact(r *http.Request) {
	forward.SetBody(r, http.NoBody, 0)
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
