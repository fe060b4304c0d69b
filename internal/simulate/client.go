// Package simulate acts as Meta against any receiver of webhooks: it sends the
// verification request and signed deliveries as Meta does, and keeps account of
// what the receiver acknowledged.
package simulate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// forgedKey signs what is to be refused. It is nobody's app secret.
const forgedKey = "this is not the app secret"

// Client sends requests to one callback URL as Meta does: HTTP/1.1 on
// connections that are kept, redirects not followed, no proxy. It can be used
// from many goroutines. Its fields must not change once it is in use.
type Client struct {
	// URL is the callback URL, with the scheme http or https.
	URL string

	// Secret is the app secret that deliveries are signed with.
	Secret string

	// Roots are the CAs that the receiver's certificate must come from. It is
	// nil for those of the system.
	Roots *x509.CertPool

	// Certificate is presented whenever the receiver asks for one. It is nil
	// for none.
	Certificate *tls.Certificate

	// Timeout bounds each request, from connecting to the end of the answer.
	// Default: meta.AnswerWithin.
	Timeout time.Duration

	// Dial connects to an address. Default: that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	once    sync.Once
	to      *url.URL
	invalid error
	tls     *tls.Config // nil: plain HTTP

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// Outcome is what became of one request.
type Outcome struct {
	// Status is the status of the answer, or 0 if there was none.
	Status int

	// Header is the answer's header.
	Header http.Header

	// Answer is the answer's body, cut off after 64 KiB.
	Answer []byte

	// Latency is the time from connecting, or from sending on a connection
	// that was kept, to the end of the answer or to the error.
	Latency time.Duration

	// Err says why there was no answer: it wraps context.DeadlineExceeded for
	// none in time, or an error of the network, or says what is wrong with the
	// URL. An answer of 200 before all was sent counts as none. It wraps
	// ErrChallenge where a verification request was answered wrongly.
	Err error
}

// OK reports whether Meta would be content: the answer came in time and is 200.
func (o Outcome) OK() bool { return o.Err == nil && o.Status == http.StatusOK }

// Label says what became of the request in a word: the status, or "timeout",
// "tls", "connect", "connection" or "canceled".
func (o Outcome) Label() string {
	if o.Status > 0 {
		return strconv.Itoa(o.Status)
	}
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		operation   *net.OpError
	)
	switch {
	case errors.Is(o.Err, context.Canceled):
		return "canceled"
	case errors.Is(o.Err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(o.Err, &certificate), errors.As(o.Err, &record):
		return "tls"
	case !errors.As(o.Err, &operation):
	case operation.Op == "remote error", operation.Op == "local error": // crypto/tls's alerts
		return "tls"
	case operation.Op == "dial":
		return "connect"
	}
	return "connection"
}

// ErrChallenge is the error of a verification request that was answered with
// anything but 200 and the challenge.
var ErrChallenge = errors.New("the callback URL was not verified")

// Verify sends the verification request that Meta sends when a callback URL is
// set, with a challenge of its own.
func (c *Client) Verify(ctx context.Context, token string) Outcome {
	if err := c.Validate(); err != nil {
		return Outcome{Err: err}
	}
	challenge := NewChallenge()
	o := c.Send(ctx, AppendGet(nil, VerificationURL(c.to, token, challenge)))
	if o.Err != nil {
		o.Err = sanitize.Error(o.Err, maxError, token, url.QueryEscape(token))
		return o
	}
	answer := string(o.Answer)
	switch {
	case o.Status != http.StatusOK:
		o.Err = fmt.Errorf("%w: the status is %d, not 200", ErrChallenge, o.Status)
	case answer == challenge:
	case strings.TrimSpace(answer) == challenge:
		o.Err = fmt.Errorf("%w: there is white space around the challenge", ErrChallenge)
	case strings.Trim(strings.TrimSpace(answer), `"'`) == challenge:
		o.Err = fmt.Errorf("%w: there are quotation marks around the challenge", ErrChallenge)
	case answer == "":
		o.Err = fmt.Errorf("%w: the answer is an empty 200, not the challenge; Caddy answers so where no handler takes the path or the host", ErrChallenge)
	default:
		o.Err = fmt.Errorf("%w: the answer of %d bytes is not the challenge", ErrChallenge, len(answer))
	}
	return o
}

// NewChallenge returns a challenge as Meta makes it up: ten digits.
func NewChallenge() string { return strconv.FormatInt(1e9+rand.Int64N(9e9), 10) }

// Deliver sends body as a delivery, with both signatures.
func (c *Client) Deliver(ctx context.Context, body []byte) Outcome {
	return c.deliver(ctx, NewDelivery(c.Secret, body))
}

// Forge sends body with well-formed signatures that are not of the app secret:
// it must be refused.
func (c *Client) Forge(ctx context.Context, body []byte) Outcome {
	return c.deliver(ctx, NewDelivery(forgedKey, body))
}

// Request returns what Deliver sends, as it stands on the wire. The URL must be valid.
func (c *Client) Request(body []byte) []byte {
	if c.Validate() != nil {
		return nil
	}
	return NewDelivery(c.Secret, body).Append(nil, c.to)
}

func (c *Client) deliver(ctx context.Context, d *Delivery) Outcome {
	if err := c.Validate(); err != nil {
		return Outcome{Err: err}
	}
	return c.Send(ctx, d.Append(make([]byte, 0, 512+len(d.Body)), c.to))
}

// Validate returns an error for a URL that nothing can be sent to. Requests
// return the same error.
func (c *Client) Validate() error {
	c.once.Do(func() { c.invalid = c.prepare() })
	return c.invalid
}

func (c *Client) prepare() error {
	to, err := url.Parse(c.URL)
	switch { // the URL may hold a password: no error shows it
	case err != nil:
		return errors.New("the callback URL is not well-formed")
	case to.Scheme != "http" && to.Scheme != "https":
		return errors.New("the callback URL must begin with http:// or https://")
	case to.Hostname() == "":
		return errors.New("the callback URL names no host")
	case to.User != nil:
		return errors.New("the callback URL holds a user name, which Meta does not send")
	}
	c.to = to
	if to.Scheme == "https" {
		c.tls = TLSConfig(to.Hostname(), c.Roots, c.Certificate)
	}
	return nil
}

// TLSConfig returns the settings for connections to a host. The certificate is
// nil for none; else it is presented even to a server that names other CAs: what
// it does then is for it to show.
func TLSConfig(host string, roots *x509.CertPool, certificate *tls.Certificate) *tls.Config {
	if certificate == nil {
		certificate = new(tls.Certificate)
	}
	return &tls.Config{
		RootCAs:              roots,
		ServerName:           host,
		NextProtos:           []string{"http/1.1"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil },
	}
}

// Close closes the connections that are kept. Requests under way end
// undisturbed.
func (c *Client) Close() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.mu.Unlock()
	for _, conn := range idle {
		_ = conn.Close() // nobody waits for anything on it
	}
}
