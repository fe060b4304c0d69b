package queue

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// newEvent returns an event with this body, as the handler stores it.
func newEvent(body []byte) *Event {
	ev := event.Split(body)[0]
	e := &Event{Consumer: "crm", Record: Record{
		Identity: ev.ID(),
		URL:      "https://hooks.example.com:8443/web%2Fhooks/?a=b&c=%20",
		Secret:   "instagram",
		Body:     ev.Envelope(),
	}}
	for i := range e.Signature {
		e.Signature[i] = byte(0xa0 + i)
	}
	return e
}

const signatureHeader = "sha256=a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"

// TestRequest sends the events of every field through a proxy to a server.
func TestRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	target, _ := url.Parse(server.URL)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		r.SetXForwarded()
	}}

	bodies := map[string][]byte{
		"unparsed":          []byte("\x00\xff no JSON"),
		"unparsed JSON":     []byte(`{"a":1}`),
		"empty":             {},
		"non-ASCII subject": []byte(`{"object":"instagram","entry":[{"id":"17","time":1772084651,"messaging":[{"message":{"mid":"m_ü \"%~"}}]}]}`),
	}
	g := sample.New(5)
	for _, f := range event.Fields() {
		bodies[f.Name] = g.Delivery(sample.StyleOf(f.Name), 1, f.Name)
	}
	for name, sent := range bodies {
		e := newEvent(sent)
		e.Attempts = 3
		r, err := NewRequest(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		a := newAnswer(r.Context(), false)
		proxy.ServeHTTP(a, r)
		if !a.ok() {
			t.Fatalf("%s: %s", name, a.error())
		}
		if got.Method != "POST" || got.RequestURI != "/web%2Fhooks/?a=b&c=%20" || !bytes.Equal(body, e.Body) || got.ContentLength != int64(len(e.Body)) {
			t.Errorf("%s: %s %s, %d bytes of %d: %q", name, got.Method, got.RequestURI, len(body), got.ContentLength, body)
		}
		ev := event.Split(sent)[0]
		attributes := ev.Attributes()
		want := map[string]string{
			"Content-Type":         attributes.DataContentType,
			"X-Hub-Signature-256":  signatureHeader,
			"Ce-Specversion":       "1.0",
			"Ce-Id":                strings.ReplaceAll(ev.ID(), "%", "%25"),
			"Ce-Type":              "com.instagram." + ev.Field,
			"Ce-Source":            attributes.Source,
			"Ce-Time":              attributes.Time.Format(time.RFC3339Nano),
			"Ce-Subject":           attributes.Subject,
			"Idempotency-Key":      ev.ID(),
			"X-Instagram-Attempt":  "4",
			"X-Instagram-Consumer": "crm",
			"X-Forwarded-For":      "127.0.0.1",
			"X-Forwarded-Proto":    "https",
			"X-Forwarded-Host":     "hooks.example.com:8443",
		}
		switch name {
		case "non-ASCII subject":
			want["Ce-Subject"] = "m_%C3%BC%20%22%25~"
		case "unparsed", "empty":
			want["Content-Type"] = "application/octet-stream"
		}
		if attributes.Time.IsZero() {
			delete(want, "Ce-Time")
		}
		for header, value := range want {
			if got.Header.Get(header) != value || len(got.Header[header]) > 1 {
				t.Errorf("%s: %s: %q, want %q", name, header, got.Header[header], value)
			}
		}
		for header := range got.Header {
			if _, ok := want[header]; !ok && header != "Content-Length" && header != "Accept-Encoding" {
				t.Errorf("%s: %s: %q", name, header, got.Header[header])
			}
		}
	}
}

// TestRequestURL takes the URLs of deliveries apart.
func TestRequestURL(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"http://example.com/webhooks":           "example.com /webhooks /webhooks ",
		"https://example.com/a%2Fb?c=d&e":       "tls example.com /a%2Fb?c=d&e /a/b c=d&e",
		"http://[::1]:8080//a?":                 "[::1]:8080 //a? //a ",
		"http://example.com":                    "example.com / / ",
		"http:///webhooks":                      " /webhooks /webhooks ",
		"https://user@example.com/x?u=http://y": "tls user@example.com /x?u=http://y /x u=http://y",
		"":                                      " / / ",
	} {
		e := newEvent(nil)
		e.URL = from
		r, err := NewRequest(t.Context(), e)
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		got := fmt.Sprintf("%s %s %s %s", r.Host, r.RequestURI, r.URL.Path, r.URL.RawQuery)
		if r.TLS != nil && r.TLS.HandshakeComplete {
			got = "tls " + got
		}
		if got != want {
			t.Errorf("%s: %q, want %q", from, got, want)
		}
		if r.URL.Host != "" || r.URL.Scheme != "" || r.Proto != "HTTP/1.1" || !r.ProtoAtLeast(1, 1) {
			t.Errorf("%s: not as from a server: %s %s", from, r.URL, r.Proto)
		}
	}
}

// TestRequestDelivery looks at what handlers find in the context.
func TestRequestDelivery(t *testing.T) {
	t.Parallel()
	e := newEvent(sample.New(1).Delivery(sample.Spaced, 1, "comments"))
	r, err := NewRequest(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	d := event.FromContext(r.Context())
	if d == nil || !bytes.Equal(d.Body, e.Body) || d.Secret != "instagram" {
		t.Fatalf("delivery %+v", d)
	}
	if events := d.Events(); len(events) != 1 || events[0].ID() != e.Identity {
		t.Errorf("%d events", len(events))
	}
	if d.Signer.Sign(e.Body) != e.Signature {
		t.Error("the body has another signature")
	}
	if d.Signer.Sign(append(e.Body, ' ')) != [32]byte{} {
		t.Error("something else was signed")
	}
}

// TestRequestPlaceholders asks for what Caddy knows of connections.
func TestRequestPlaceholders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			repl := caddy.NewReplacer()
			caddyhttp.PrepareRequest(r, repl, w, new(caddyhttp.Server))
			const names = "{http.request.scheme} {http.request.hostport} {http.request.uri} {http.request.remote.host} " +
				"{http.request.local} {http.request.local.host} {http.request.local.port} {http.vars.client_ip} " +
				"[{http.request.tls.client.subject}]"
			http.Error(w, repl.ReplaceAll(names, ""), http.StatusGone)
		})
		tr.accept("a", 1)
		const want = "410: https hooks.example.com /webhooks?key=hidden 127.0.0.1 127.0.0.1:0 127.0.0.1 0 127.0.0.1 []"
		if got := tr.only().LastError; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestRequestSubject leaves a subject out that is too long for a header.
func TestRequestSubject(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]bool{maxSubject: true, maxSubject + 1: false} {
		body := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"17","messaging":[{"message":{"mid":"%s"}}]}]}`, strings.Repeat("m", length))
		r, err := NewRequest(t.Context(), newEvent(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Header["Ce-Subject"]; ok != want {
			t.Errorf("%d bytes: %t, want %t", length, ok, want)
		}
	}
}

// TestOriginDoesNotReplaceHeadersOfTheQueue has a proxy that is trusted with a
// header that is the queue's own.
func TestOriginDoesNotReplaceHeadersOfTheQueue(t *testing.T) {
	t.Parallel()
	e := newEvent(nil)
	e.Origin = "10.0.0.5:1?Idempotency-Key=other&trusted=1"
	r, err := NewRequest(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Idempotency-Key"); got != e.Identity {
		t.Errorf("the key is %q, want %q", got, e.Identity)
	}
}
