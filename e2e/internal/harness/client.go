package harness

import (
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
	"testing"

	"github.com/caddy-instagram/webhooks/event"
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
	Broken   int  // requests that DeliverAgain sent again
	NoReuse  bool // a new connection for each request

	http http.Client
}

// NewClient returns a client that trusts roots and connects to addr, whatever
// the name in a URL. It presents cert if there is one.
func NewClient(t testing.TB, p Protocol, addr string, roots *x509.CertPool, cert *tls.Certificate) *Client {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig:    TLSConfig(roots, "", cert),
		DisableCompression: true,
		// Never HTTP/2 unless asked for.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	if p == HTTP2 || p == HTTP2NoLength {
		transport.TLSNextProto = nil
		transport.ForceAttemptHTTP2 = true
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{
		Protocol: p,
		URL:      "http://" + addr + "/webhooks",
		http: http.Client{
			Transport:     transport,
			Timeout:       Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Client returns a client for the webhook of this Caddy.
func (c *Caddy) Client(t testing.TB, p Protocol) *Client {
	t.Helper()
	client := NewClient(t, p, c.Addr, c.Roots, nil)
	client.URL = c.URL
	return client
}

// Close closes the connections that are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// TLSConfig presents cert even to a server that asks for others.
func TLSConfig(roots *x509.CertPool, name string, cert *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: roots, ServerName: name}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return config
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
	return c.Do(t, NewDelivery(t, c.Protocol, c.URL, Secret, body))
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
func NewDelivery(t testing.TB, p Protocol, url, secret string, body []byte) *http.Request {
	t.Helper()
	var reader io.Reader = bytes.NewReader(body)
	if p == HTTP1Chunked || p == HTTP2NoLength {
		reader = io.MultiReader(reader) // hides the length
	}
	req := NewRequest(t, http.MethodPost, url, reader)
	agent := meta.UserAgentChanges
	if simulate.FamilyOf(event.Split(body)) == simulate.Messaging {
		agent = meta.UserAgentMessaging
	}
	legacy, current := simulate.Signatures(secret, body)
	req.Header = http.Header{
		"User-Agent":          {agent},
		"Accept":              {"*/*"},
		"Content-Type":        {"application/json"},
		"X-Hub-Signature":     {legacy},
		"X-Hub-Signature-256": {current},
	}
	return req
}

// NewVerification is the request by which Meta asks whose URL it is.
func NewVerification(t testing.TB, base, mode, token, challenge string) *http.Request {
	t.Helper()
	query := url.Values{"hub.mode": {mode}, "hub.challenge": {challenge}, "hub.verify_token": {token}}
	req := NewRequest(t, http.MethodGet, base+"?"+query.Encode(), nil)
	req.Header.Set("User-Agent", meta.UserAgentVerification)
	req.Header.Set("Accept", "*/*")
	return req
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
