package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// protocol is a way to carry a request.
type protocol string

const (
	http1        protocol = "HTTP/1.1"         // as Meta does
	http1Chunked protocol = "HTTP/1.1 chunked" // as some proxies in between do
	http2        protocol = "HTTP/2"
	http2Unknown protocol = "HTTP/2 without content-length"
)

var protocols = []protocol{http1, http1Chunked, http2, http2Unknown}

// caller sends requests as Meta does, to wherever the gateway is.
type caller struct {
	client *http.Client
}

// newCaller returns a caller that trusts roots and connects to addr, whatever
// the name in the URL, and presents cert if there is one. It follows no redirect.
func newCaller(roots *x509.CertPool, addr string, cert *tls.Certificate) *caller {
	return newCallerFor(http1, roots, addr, cert)
}

func newCallerFor(p protocol, roots *x509.CertPool, addr string, cert *tls.Certificate) *caller {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig:    clientTLS(roots, "", cert),
		DisableCompression: true,
		// Never HTTP/2 unless asked for.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	if p == http2 || p == http2Unknown {
		transport.TLSNextProto = nil
		transport.ForceAttemptHTTP2 = true
	}
	return &caller{&http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// clientTLS presents cert even to a server that asks for others.
func clientTLS(roots *x509.CertPool, name string, cert *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: roots, ServerName: name}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return config
}

func (c *caller) close() { c.client.CloseIdleConnections() }

// answer is a response, read to its end.
type answer struct {
	status int
	proto  string
	header http.Header
	body   []byte
}

func (c *caller) do(req *http.Request) (*answer, error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &answer{resp.StatusCode, resp.Proto, resp.Header, body}, err
}

func (c *caller) mustDo(t *testing.T, req *http.Request) *answer {
	t.Helper()
	a, err := c.do(req)
	if err != nil {
		t.Fatalf("%s: %v", req.Method, err)
	}
	return a
}

// delivery is the request by which Meta sends body, signed with secret. The
// two families of events come with different User-Agents.
func delivery(t testing.TB, p protocol, url, secret string, body []byte) *http.Request {
	t.Helper()
	var reader io.Reader = bytes.NewReader(body)
	if p == http1Chunked || p == http2Unknown {
		reader = io.MultiReader(reader) // hides the length
	}
	req, err := http.NewRequest(http.MethodPost, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"User-Agent":          {"Webhooks/1.0 (https://fb.me/webhooks)"},
		"Accept":              {"*/*"},
		"Content-Type":        {"application/json"},
		"X-Hub-Signature":     {"sha1=" + hexHMAC1(secret, body)},
		"X-Hub-Signature-256": {"sha256=" + hexHMAC256(secret, body)},
	}
	if bytes.Contains(body, []byte(`"messaging"`)) {
		req.Header.Set("User-Agent", "facebookexternalua")
	}
	return req
}

// verification is the request by which Meta asks whose URL it is.
func verification(t testing.TB, base, mode, token, challenge string) *http.Request {
	t.Helper()
	query := url.Values{"hub.mode": {mode}, "hub.challenge": {challenge}, "hub.verify_token": {token}}
	req, err := http.NewRequest(http.MethodGet, base+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "facebookplatform/1.0 (+http://developers.facebook.com)")
	req.Header.Set("Accept", "*/*")
	return req
}

func hexHMAC256(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func hexHMAC1(secret string, body []byte) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// echoOf reads what a backend answered.
func echoOf(t *testing.T, a *answer) echo {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d, want 200; body: %s", a.status, a.body)
	}
	var e echo
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("%v in the answer %q", err, a.body)
	}
	return e
}

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}
