package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// Protocol is a way to carry a request.
type Protocol string

// The protocols in which a delivery may come.
const (
	HTTP1         Protocol = "HTTP/1.1"         // as Meta does
	HTTP1Chunked  Protocol = "HTTP/1.1 chunked" // as some proxies in between do
	HTTP2         Protocol = "HTTP/2"
	HTTP2NoLength Protocol = "HTTP/2 without content-length"
)

// Protocols are all of them.
var Protocols = []Protocol{HTTP1, HTTP1Chunked, HTTP2, HTTP2NoLength}

// Client sends requests as Meta does. It follows no redirect.
type Client struct {
	URL      string // of the webhook
	Protocol Protocol
	NoReuse  bool // a new connection for each request
	Broken   int  // requests that DeliverAgain sent again

	meta simulate.Client // sends plain deliveries over HTTP/1.1
	http http.Client     // sends all others, with net/http's order of headers
}

// NewClient returns a client for a webhook that connects to addr, whatever the
// name in the URL. It trusts roots, and presents cert if there is one.
func NewClient(t testing.TB, p Protocol, url, addr string, roots *x509.CertPool, cert *tls.Certificate) *Client {
	t.Helper()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	transport := &http.Transport{
		DialContext:        dial,
		TLSClientConfig:    simulate.TLSConfig("", roots, cert),
		DisableCompression: true,
		// Never HTTP/2 unless asked for.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	if p == HTTP2 || p == HTTP2NoLength {
		transport.TLSNextProto = nil
		transport.TLSClientConfig.NextProtos = nil
		transport.ForceAttemptHTTP2 = true
	}
	c := &Client{
		URL:      url,
		Protocol: p,
		meta:     simulate.Client{URL: url, Roots: roots, Certificate: cert, Timeout: Timeout, Dial: dial},
		http: http.Client{
			Transport:     transport,
			Timeout:       Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	t.Cleanup(c.Close)
	return c
}

// Client returns a client for the webhook of this Caddy.
func (c *Caddy) Client(t testing.TB, p Protocol) *Client {
	t.Helper()
	return NewClient(t, p, c.URL, c.Addr, c.Roots, nil)
}

// Close closes the connections that are kept.
func (c *Client) Close() {
	c.meta.Close()
	c.http.CloseIdleConnections()
}

// Answer is a response, read to its end.
type Answer struct {
	Status int
	Proto  string
	Header http.Header
	Body   string
}

// Do sends a request and returns its answer. Without one the test fails.
func (c *Client) Do(t testing.TB, req *http.Request) *Answer {
	t.Helper()
	answer, err := c.Try(req)
	if err != nil {
		t.Fatalf("%s: %v", req.Method, err)
	}
	return answer
}

// Try sends a request. An answer that breaks off comes with an error.
func (c *Client) Try(req *http.Request) (*Answer, error) {
	req.Close = c.NoReuse
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &Answer{resp.StatusCode, resp.Proto, resp.Header, string(body)}, err
}

// Deliver sends a delivery that is signed with [Secret].
func (c *Client) Deliver(t testing.TB, body []byte) *Answer {
	t.Helper()
	if c.Protocol != HTTP1 {
		return c.Do(t, NewDelivery(t, c.Protocol, c.URL, Secret, body))
	}
	outcome := c.meta.Send(t.Context(), simulate.NewDelivery(Secret, body).Append(nil, parseURL(t, c.URL)))
	if outcome.Err != nil {
		t.Fatalf("delivering: %v", outcome.Err)
	}
	return &Answer{Status: outcome.Status, Proto: "HTTP/1.1", Header: outcome.Header, Body: string(outcome.Answer)}
}

// DeliverAgain sends a delivery until it is answered, as Meta does, for tests in
// which connections break. A server that is shut down closes the connection of a
// request that it reads too late, without handling it: see conn.serve in
// net/http.
func (c *Client) DeliverAgain(t testing.TB, body []byte) (*Answer, error) {
	t.Helper()
	const attempts = 30
	for n := 1; ; n++ {
		answer, err := c.Try(NewDelivery(t, c.Protocol, c.URL, Secret, body))
		if answer != nil || n == attempts {
			return answer, err
		}
		c.Broken++
	}
}

// NewDelivery is the request by which Meta sends body, signed with an app secret.
func NewDelivery(t testing.TB, p Protocol, to, secret string, body []byte) *http.Request {
	t.Helper()
	var reader io.Reader = bytes.NewReader(body)
	if p == HTTP1Chunked || p == HTTP2NoLength {
		reader = io.MultiReader(reader) // hides the length
	}
	req := NewRequest(t, http.MethodPost, to, reader)
	req.Header = headerOf(t, simulate.NewDelivery(secret, body).Append(nil, req.URL))
	return req
}

// NewVerification is the request by which Meta asks whose URL it is.
func NewVerification(t testing.TB, callback, mode, token, challenge string) *http.Request {
	t.Helper()
	to := simulate.VerificationURL(parseURL(t, callback), token, challenge)
	to.RawQuery = strings.Replace(to.RawQuery, meta.ModeSubscribe, url.QueryEscape(mode), 1)
	req := NewRequest(t, http.MethodGet, to.String(), nil)
	req.Header = headerOf(t, simulate.AppendGet(nil, to))
	return req
}

// headerOf returns the header of a request as it stands on the wire.
func headerOf(t testing.TB, wire []byte) http.Header {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Del("Content-Length") // net/http sends that of the body
	return req.Header
}

func parseURL(t testing.TB, text string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// NewRequest is http.NewRequest for tests.
func NewRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// HMAC is the hexadecimal HMAC-SHA-256 of body.
func HMAC(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// SHA256 is the hexadecimal SHA-256 of body.
func SHA256(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
