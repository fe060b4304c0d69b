package check

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// maxAnswer is the most that is read of an answer, in bytes.
const maxAnswer = 64 << 10

// exchange is a request and what came of it.
type exchange struct {
	what    string // the request, in words
	status  int    // 0: there was no answer
	header  http.Header
	body    []byte
	latency time.Duration
	err     error
}

// accepted reports whether the server took the request.
func (e exchange) accepted() bool { return e.err == nil && e.status >= 200 && e.status < 300 }

// outcome says in a few words what the server answered.
func (e exchange) outcome() string {
	if e.err != nil {
		return reasonOf(e.err)
	}
	text := fmt.Sprintf("status %d", e.status)
	if server := e.header.Get("Server"); server != "" {
		text += fmt.Sprintf(" from %q", server[:min(len(server), 40)])
	}
	return text
}

// send sends a request as Meta does: HTTP/1.1 on a connection of its own, no
// proxy, redirects not followed.
func (v *run) send(what string, req *http.Request, cert *tls.Certificate) exchange {
	ctx, cancel := v.step()
	defer cancel()
	e := exchange{what: what}
	start := time.Now()
	conn, err := v.open(ctx, cert)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		err = e.roundTrip(conn, req)
		stop()
	}
	e.latency = time.Since(start)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if e.err = err; err == nil && e.latency >= v.slowest.latency {
		v.slowest = e
	}
	return e
}

// open connects to the server.
func (v *run) open(ctx context.Context, cert *tls.Certificate) (net.Conn, error) {
	conn, err := v.dialer()(ctx, "tcp", v.address())
	if err != nil || v.url.Scheme == "http" {
		return conn, err
	}
	secured := tls.Client(conn, v.tlsConfig(cert))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the error of the handshake says more
		return nil, err
	}
	return secured, nil
}

// maxHints bounds how many informational answers may come before the answer.
const maxHints = 8

// roundTrip sends the request on a connection, reads the answer and closes the
// connection.
func (e *exchange) roundTrip(conn net.Conn, req *http.Request) error {
	// An answer may come before all is sent, such as 413, and end the sending.
	// http.Transport would lose it.
	sent := make(chan error, 1)
	go func() { sent <- req.Write(conn) }()
	err := e.read(conn, req)
	transport := conn
	if secured, ok := conn.(*tls.Conn); ok {
		transport = secured.NetConn() // without the good-byes of TLS, which can take seconds
	}
	_ = transport.Close() // nothing is expected on it
	if unsent := <-sent; errors.Is(err, io.ErrUnexpectedEOF) && unsent != nil {
		err = unsent
	}
	return err
}

func (e *exchange) read(conn net.Conn, req *http.Request) error {
	reader := bufio.NewReader(io.LimitReader(conn, 2*maxAnswer))
	for range maxHints {
		resp, err := http.ReadResponse(reader, req)
		if err != nil {
			return err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		e.status, e.header = resp.StatusCode, resp.Header
		e.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return err
	}
	return errors.New("there is no end of informational answers")
}

// get sends a GET request with a query, which may be nil.
func (v *run) get(what string, query url.Values, cert *tls.Certificate) exchange {
	to := *v.url
	if query != nil {
		to.RawQuery = strings.TrimPrefix(to.RawQuery+"&"+query.Encode(), "&")
	}
	return v.send(what, &http.Request{
		Method: http.MethodGet,
		URL:    &to,
		Close:  true,
		Header: http.Header{
			"User-Agent": {meta.UserAgentVerification},
			"Accept":     {"*/*"},
		},
	}, cert)
}

// deliver sends a delivery with the signatures of signed under key, or with none
// if key is empty.
func (v *run) deliver(what string, body, signed []byte, key string, cert *tls.Certificate) exchange {
	header := http.Header{
		"User-Agent":   {simulate.FamilyOf(event.Split(body)).UserAgent()},
		"Accept":       {"*/*"},
		"Content-Type": {"application/json"},
	}
	if key != "" {
		header.Set("X-Hub-Signature", "sha1="+sign(sha1.New, key, signed))
		header.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, key, signed))
	}
	return v.send(what, &http.Request{
		Method:        http.MethodPost,
		URL:           v.url,
		Close:         true,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}, cert)
}

func sign(algorithm func() hash.Hash, key string, body []byte) string {
	mac := hmac.New(algorithm, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// reach sends a request that nothing should come of, to see who answers. It
// reports whether others can follow.
func (v *run) reach() bool {
	const before = "TLS demands a client certificate"
	if v.certAlert != nil {
		v.skip(before, HTTP, Redirect, Addresses, Verification, VerificationWrongToken, VerificationNoToken)
		if v.Certificate == nil {
			v.warn(ClientCert, "TLS demands a client certificate for each request, for the verification too.",
				"It is not known that Meta presents one there: put 'client_auth { mode request }' into the site's tls directive, and client_cert into instagram_webhook. To check more, give a certificate with its key.")
		} else {
			v.fault(ClientCert, fmt.Sprintf("TLS refuses the client certificate: %s.", reasonOf(v.certAlert)), "Give one that descends from a CA that the site trusts.")
		}
		v.skipFrom(DeliverySigned, before)
		return false
	}
	e := v.get("a request without parameters", nil, v.Certificate)
	switch {
	case e.err != nil:
		v.fault(HTTP, fmt.Sprintf("There is no answer: %s.", reasonOf(e.err)),
			v.adviceWithout(e.err))
		v.skipFrom(Redirect, "there is no answer")
		return false
	}
	v.ok(HTTP, fmt.Sprintf("There is an answer (%s).", e.outcome()))
	if e.status >= 300 && e.status < 400 {
		v.fault(Redirect, fmt.Sprintf("The answer is a redirect (%d) to %s, and Meta follows none.", e.status, target(v.url, e.header)),
			"Give Meta the URL that it leads to, with its exact host and trailing slash, or take the redirect away.")
		v.skipFrom(Addresses, "the URL redirects")
		return false
	}
	v.ok(Redirect, "The answer is no redirect.")
	return true
}

// target returns where a redirect leads, without the query.
func target(from *url.URL, header http.Header) string {
	to, err := from.Parse(header.Get("Location"))
	if err != nil || header.Get("Location") == "" {
		return "nowhere"
	}
	return to.Scheme + "://" + to.Host + to.EscapedPath()
}

// time compares the slowest answer with Meta's deadline.
func (v *run) time() {
	switch e := v.slowest; {
	case e.latency >= meta.AnswerWithin:
		v.fault(Time, fmt.Sprintf("The answer to %s took %s; Meta waits for %s.", e.what, rounded(e.latency), meta.AnswerWithin), v.adviceOnTime())
	case e.latency >= meta.AnswerWithin/2:
		v.warn(Time, fmt.Sprintf("The answer to %s took %s; Meta waits for %s.", e.what, rounded(e.latency), meta.AnswerWithin), "Little is left for a busy hour. "+v.adviceOnTime())
	default:
		v.ok(Time, fmt.Sprintf("The slowest answer, to %s, took %s; Meta waits for %s.", e.what, rounded(e.latency), meta.AnswerWithin))
	}
}

func (v *run) adviceOnTime() string {
	if v.queued() {
		return "The queue answers once the events are on disk: see disk.sync, and look for a proxy or a slow line before Caddy."
	}
	return "Answer first and work afterwards: put instagram_queue in front of the application."
}

func rounded(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond)
	case d < time.Second:
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second / 10)
}
