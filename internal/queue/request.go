package queue

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

var errURL = errors.New("the URL of the delivery cannot be parsed")

// overTLS is the state of connections that deliveries came over. What it was in
// detail is not stored.
var overTLS = &tls.ConnectionState{HandshakeComplete: true}

// loopback is where requests of the dispatcher come from, if it is not known who
// delivered, and loopbackAddr where they come to. Handlers may ask for both.
const loopback = "127.0.0.1:0"

var loopbackAddr = net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})

// NewRequest returns the request of an attempt, as a server would have made it
// for a delivery of this one event. It cannot be sent again: one attempt is one
// request.
func NewRequest(ctx context.Context, e *Event) (*http.Request, error) {
	scheme, rest, _ := strings.Cut(e.URL, "://")
	host, uri := rest, "/"
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		host, uri = rest[:slash], rest[slash:]
	}
	target, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, errURL // without the query that err holds
	}
	delivery := &event.Delivery{Body: e.Body, Secret: e.Secret, Signer: signer{&e.Record}}
	r := &http.Request{
		Method:        http.MethodPost,
		URL:           target,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        headers(e, &delivery.Events()[0]),
		Body:          http.NoBody,
		ContentLength: int64(len(e.Body)),
		Host:          host,
		RemoteAddr:    loopback,
		RequestURI:    uri,
	}
	if len(e.Body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(e.Body))
	}
	if scheme == "https" {
		r.TLS = overTLS
	}
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, loopbackAddr)
	if e.Origin != "" {
		o := parseOrigin(e.Origin)
		o.apply(r)
		ctx = context.WithValue(ctx, originKey{}, &o)
	}
	return r.WithContext(event.NewContext(ctx, delivery)), nil
}

// maxSubject bounds a subject in bytes. A longer one is no id, and a burden as a
// header.
const maxSubject = 1024

// headers returns the headers that Handler documents.
func headers(e *Event, ev *event.Event) http.Header {
	a := ev.Attributes()
	header := make(http.Header, 12)
	values := make([]string, 0, 12)
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("Content-Type", a.DataContentType)
	set("Content-Length", strconv.Itoa(len(e.Body)))
	set(meta.HeaderSignature, "sha256="+hex.EncodeToString(e.Signature[:]))
	set("Ce-Specversion", "1.0")
	set("Ce-Id", encode(e.Identity))
	set("Ce-Type", encode(a.Type))
	set("Ce-Source", encode(a.Source))
	if !a.Time.IsZero() {
		set("Ce-Time", a.Time.Format(time.RFC3339Nano))
	}
	if a.Subject != "" && len(a.Subject) <= maxSubject {
		set("Ce-Subject", encode(a.Subject))
	}
	set("Idempotency-Key", e.Identity)
	set("X-Instagram-Consumer", e.Consumer)
	set("X-Instagram-Attempt", strconv.Itoa(e.Attempts+1))
	return header
}

// encode writes an attribute as a header. See "HTTP Protocol Binding for
// CloudEvents", version 1.0.2, section 3.1.3.2.
func encode(text string) string {
	const digits = "0123456789ABCDEF"
	fits := func(c byte) bool { return '!' <= c && c <= '~' && c != '"' && c != '%' }
	for i := 0; ; i++ {
		if i == len(text) {
			return text
		}
		if !fits(text[i]) {
			break
		}
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; fits(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// signer signs what is delivered, for handlers in the routes. The app secret is
// not stored, so it has no valid signature for anything else.
type signer struct{ record *Record }

// Sign implements event.Signer.
func (s signer) Sign(body []byte) (signature [32]byte) {
	if bytes.Equal(body, s.record.Body) {
		signature = s.record.Signature
	}
	return signature
}
