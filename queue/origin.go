package queue

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// origin is who connected to deliver, and what the proxies in front said of
// the client.
type origin struct {
	remote  string // address of who connected
	client  string // address of the client, as Caddy worked it out
	trusted bool   // who connected is a proxy that Caddy trusts
	header  http.Header
}

// forwardedHeaders are what reverse_proxy and php_fastcgi judge by themselves:
// they take them from proxies that the server trusts, and from those that are
// trusted in their own options.
var forwardedHeaders = []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For"}

// maxForwarded bounds what is kept of headers, in bytes as they are stored: each
// event has them. A header that does not fit is left out.
const maxForwarded = 2048

// The names under which an origin is stored besides headers.
const (
	originClient  = "client"
	originTrusted = "trusted"
)

// originOf returns the origin of a request as it is stored: the address, and,
// as a query, what differs from a client that connects by itself.
func originOf(r *http.Request) string {
	o := origin{remote: r.RemoteAddr}
	o.trusted, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	o.client, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	values := make(url.Values)
	left := maxForwarded
	keep := func(name string) {
		name = http.CanonicalHeaderKey(name)
		size := 0
		for _, value := range r.Header[name] {
			size += len("&=") + len(name) + len(url.QueryEscape(value))
		}
		if size > 0 && size <= left && values[name] == nil {
			left -= size
			values[name] = r.Header[name]
		}
	}
	for _, name := range forwardedHeaders {
		keep(name)
	}
	if o.trusted {
		values.Set(originTrusted, "1")
		for _, name := range otherForwarded(r) {
			keep(name)
		}
	}
	if o.client != "" && o.client != o.host() {
		values.Set(originClient, o.client)
	}
	if len(values) == 0 {
		return o.remote
	}
	return o.remote + "?" + values.Encode()
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

// parseOrigin reads an origin as it is stored.
func parseOrigin(text string) origin {
	remote, query, more := strings.Cut(text, "?")
	o := origin{remote: remote}
	if more {
		values, _ := url.ParseQuery(query)
		o.client, o.trusted = values.Get(originClient), values.Has(originTrusted)
		delete(values, originClient)
		delete(values, originTrusted)
		o.header = http.Header(values)
	}
	if o.client == "" {
		o.client = o.host()
	}
	return o
}

// host returns the address of who connected without its port, or "".
func (o *origin) host() string {
	host, _, _ := net.SplitHostPort(o.remote)
	host, _, _ = strings.Cut(host, "%")
	return host
}

// apply puts the origin into the request of an attempt.
func (o *origin) apply(r *http.Request) {
	r.RemoteAddr = o.remote
	for name, values := range o.header {
		if _, ok := r.Header[name]; !ok {
			r.Header[name] = values
		}
	}
}

// setVars sets what a server works out of an origin before its handlers run.
func (o *origin) setVars(ctx context.Context) {
	caddyhttp.SetVar(ctx, caddyhttp.TrustedProxyVarKey, o.trusted)
	caddyhttp.SetVar(ctx, caddyhttp.ClientIPVarKey, o.client)
}

// originKey is the key of the *origin in the context of an attempt.
type originKey struct{}
