package doctor

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
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
func (v *visit) send(what string, req *http.Request, cert *tls.Certificate) exchange {
	ctx, cancel := v.step()
	defer cancel()
	transport := &http.Transport{
		DialContext:            v.dialer(),
		DisableCompression:     true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxAnswer,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // never HTTP/2
	}
	if v.url.Scheme == "https" {
		transport.TLSClientConfig = v.tlsConfig(cert)
	}
	defer transport.CloseIdleConnections()

	e := exchange{what: what}
	start := time.Now()
	resp, err := transport.RoundTrip(req.WithContext(ctx))
	if err == nil {
		e.status, e.header = resp.StatusCode, resp.Header
		e.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close() // all that matters of it was read
	}
	e.latency = time.Since(start)
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	if e.err = err; err == nil && e.latency >= v.slowest.latency {
		v.slowest = e
	}
	return e
}

// get sends a GET request with a query, which may be nil.
func (v *visit) get(what string, query url.Values, cert *tls.Certificate) exchange {
	to := *v.url
	if query != nil {
		to.RawQuery = strings.TrimPrefix(to.RawQuery+"&"+query.Encode(), "&")
	}
	return v.send(what, &http.Request{
		Method: http.MethodGet,
		URL:    &to,
		Header: http.Header{
			"User-Agent": {"facebookplatform/1.0 (+http://developers.facebook.com)"},
			"Accept":     {"*/*"},
		},
	}, cert)
}

// deliver sends a delivery with the signatures of signed under key, or with none
// if key is empty.
func (v *visit) deliver(what string, body, signed []byte, key string, cert *tls.Certificate) exchange {
	header := http.Header{
		"User-Agent":   {"Webhooks/1.0 (https://fb.me/webhooks)"},
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
func (v *visit) reach() bool {
	const before = "TLS demands a client certificate"
	if v.certAlert != nil {
		v.skip(before, HTTP, Redirect, Verification, VerificationWrongToken, VerificationNoToken)
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
			"See Caddy's log, and that of any proxy before it. Meta gives up after five seconds.")
		v.skipFrom(Redirect, "there is no answer")
		return false
	}
	v.ok(HTTP, fmt.Sprintf("There is an answer (%s).", e.outcome()))
	if e.status >= 300 && e.status < 400 {
		v.fault(Redirect, fmt.Sprintf("The answer is a redirect (%d) to %s, and Meta follows none.", e.status, target(v.url, e.header)),
			"Give Meta the URL that it leads to, with its exact host and trailing slash, or take the redirect away.")
		v.skipFrom(Verification, "the URL redirects")
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
func (v *visit) time() {
	switch e := v.slowest; {
	case e.latency >= Deadline:
		v.fault(Time, fmt.Sprintf("The answer to %s took %s; Meta waits for %s.", e.what, rounded(e.latency), Deadline),
			"Answer first and work afterwards: put instagram_queue in front of the application.")
	case e.latency >= Deadline/2:
		v.warn(Time, fmt.Sprintf("The answer to %s took %s; Meta waits for %s.", e.what, rounded(e.latency), Deadline),
			"Little is left for a busy hour: put instagram_queue in front of the application.")
	default:
		v.ok(Time, fmt.Sprintf("The slowest answer, to %s, took %s; Meta waits for %s.", e.what, rounded(e.latency), Deadline))
	}
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
