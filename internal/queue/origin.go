package queue

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Origin is who connected to deliver, and what the proxies in front said of
// the client.
type Origin struct {
	Remote  string      // address of who connected, with the port
	Client  string      // address of the client, as Caddy worked it out
	Trusted bool        // who connected is a proxy that Caddy trusts
	Header  http.Header // what proxies in front said, with canonical names
}

// The names under which an Origin is stored besides headers. They cannot be names of
// headers, which begin with a capital letter.
const (
	originClient  = "client"
	originTrusted = "trusted"
)

// String returns the form in which an Origin is stored: the address, and, as a
// query, what differs from a client that connects by itself.
func (o *Origin) String() string {
	proxied := o.Client != "" && o.Client != o.host()
	if len(o.Header) == 0 && !o.Trusted && !proxied {
		return o.Remote
	}
	values := make(url.Values, len(o.Header)+2)
	maps.Copy(values, o.Header)
	if o.Trusted {
		values.Set(originTrusted, "1")
	}
	if proxied {
		values.Set(originClient, o.Client)
	}
	return o.Remote + "?" + values.Encode()
}

// parseOrigin reads an Origin as it is stored.
func parseOrigin(text string) Origin {
	remote, query, more := strings.Cut(text, "?")
	o := Origin{Remote: remote}
	if more {
		values, _ := url.ParseQuery(query)
		o.Client, o.Trusted = values.Get(originClient), values.Has(originTrusted)
		delete(values, originClient)
		delete(values, originTrusted)
		o.Header = http.Header(values)
	}
	if o.Client == "" {
		o.Client = o.host()
	}
	return o
}

// host returns the address of who connected without its port, or "".
func (o *Origin) host() string {
	host, _, _ := net.SplitHostPort(o.Remote)
	host, _, _ = strings.Cut(host, "%")
	return host
}

// apply puts the Origin into the request of an attempt.
func (o *Origin) apply(r *http.Request) {
	r.RemoteAddr = o.Remote
	for name, values := range o.Header {
		if _, ok := r.Header[name]; !ok {
			r.Header[name] = values
		}
	}
}

// originKey is the key of the *Origin in the context of an attempt.
type originKey struct{}

// OriginFromContext returns the Origin of the event that an attempt delivers, or
// nil if it is not known.
func OriginFromContext(ctx context.Context) *Origin {
	o, _ := ctx.Value(originKey{}).(*Origin)
	return o
}
