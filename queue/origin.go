package queue

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// forwardedHeaders are what reverse_proxy and php_fastcgi judge by themselves:
// they take them from proxies that the server trusts, and from those that are
// trusted in their own options.
var forwardedHeaders = []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For"}

// maxForwarded bounds what is kept of headers, in bytes as they are stored: each
// event has them. A header that does not fit is left out.
const maxForwarded = 2048

// originOf returns the origin of a request.
func originOf(r *http.Request) *queue.Origin {
	o := &queue.Origin{Remote: r.RemoteAddr, Header: make(http.Header)}
	o.Trusted, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	o.Client, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	left := maxForwarded
	keep := func(name string) {
		name = http.CanonicalHeaderKey(name)
		size := 0
		for _, value := range r.Header[name] {
			size += len("&=") + len(name) + len(url.QueryEscape(value))
		}
		if size > 0 && size <= left && o.Header[name] == nil {
			left -= size
			o.Header[name] = r.Header[name]
		}
	}
	for _, name := range forwardedHeaders {
		keep(name)
	}
	if o.Trusted {
		for _, name := range otherForwarded(r) {
			keep(name)
		}
	}
	return o
}

// otherForwarded returns the names of what trusted proxies say beside the
// forwardedHeaders. Caddy passes these on from anyone, but they are to be
// believed of trusted proxies only.
func otherForwarded(r *http.Request) []string {
	names := []string{"Forwarded", "X-Real-Ip"}
	if server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		names = append(names, server.ClientIPHeaders...)
	}
	var more []string
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	return append(names, more...)
}

// setVars sets what a server works out of an origin before its handlers run.
func setVars(ctx context.Context, o *queue.Origin) {
	caddyhttp.SetVar(ctx, caddyhttp.TrustedProxyVarKey, o.Trusted)
	caddyhttp.SetVar(ctx, caddyhttp.ClientIPVarKey, o.Client)
}
