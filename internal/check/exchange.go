package check

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// exchange is what came of a request, with what it was in words.
type exchange struct {
	what string
	simulate.Outcome
}

// accepted reports whether the server took the request.
func (e exchange) accepted() bool { return e.Status >= 200 && e.Status < 300 }

// outcome says in a few words what the server answered.
func (e exchange) outcome() string {
	if e.Err != nil {
		return reasonOf(e.Err)
	}
	text := fmt.Sprintf("status %d", e.Status)
	if server := e.Header.Get("Server"); server != "" {
		text += fmt.Sprintf(" from %q", server[:min(len(server), 40)])
	}
	return text
}

// get sends a GET request as Meta does.
func (r *run) get(what string, to *url.URL) exchange {
	return r.send(what, simulate.AppendGet(nil, to), r.Certificate)
}

// deliver sends a delivery to the callback URL as Meta does.
func (r *run) deliver(what string, d *simulate.Delivery) exchange {
	return r.send(what, d.Append(nil, r.url), r.Certificate)
}

// send sends a request as it stands on the wire, on a connection of its own.
func (r *run) send(what string, request []byte, cert *tls.Certificate) exchange {
	client := r.clientFor(r.url, "")
	defer client.Close()
	client.Certificate = cert
	if r.via.IsValid() {
		client.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return r.dialer()(ctx, network, net.JoinHostPort(r.via.String(), portOf(r.url)))
		}
	}
	e := exchange{what, client.Send(r.ctx, request)}
	if e.Err == nil && e.Latency >= r.slowest.Latency {
		r.slowest = e
	}
	return e
}

// clientFor returns a client that signs with a secret, if it is not empty.
func (r *run) clientFor(to *url.URL, secret string) *simulate.Client {
	return &simulate.Client{URL: to.String(), Secret: secret, Roots: r.Roots, Certificate: r.Certificate, Timeout: r.timeout(), Dial: r.dialer()}
}

// reach sends a request that nothing should come of, to see who answers. It
// reports whether others can follow.
func (r *run) reach() bool {
	if r.certAlert != nil {
		r.certDemanded()
		return false
	}
	e := r.get("a request without parameters", r.url)
	if e.Err != nil {
		r.fault(HTTP, fmt.Sprintf("There is no answer: %s.", reasonOf(e.Err)), r.adviceForNoAnswer(e.Err))
		r.skipFrom(Redirect, "there is no answer")
		return false
	}
	r.ok(HTTP, fmt.Sprintf("There is an answer (%s).", e.outcome()))
	if e.redirects() {
		r.fault(Redirect, fmt.Sprintf("The answer is a redirect (%d) to %s, and Meta follows none.", e.Status, redirectTarget(r.url, e.Header)),
			"Give Meta the URL that it leads to, with its exact host and trailing slash, or take the redirect away.")
		r.skipFrom(Addresses, "the URL redirects")
		return false
	}
	r.ok(Redirect, "The answer is no redirect.")
	return true
}

// certDemanded says that no request gets past TLS.
func (r *run) certDemanded() {
	const before = "TLS demands a client certificate"
	r.skip(before, HTTP, Redirect, Addresses, Verification, VerificationWrongToken, VerificationNoToken)
	if r.Certificate == nil {
		r.warn(ClientCert, before+" for each request, for the verification too.",
			"It is not known that Meta presents one there: put 'client_auth { mode request }' into the site's tls directive, "+
				"and client_cert into instagram_webhook. To check more, give a certificate with its key.")
	} else {
		r.fault(ClientCert, fmt.Sprintf("TLS refuses the client certificate: %s.", reasonOf(r.certAlert)),
			"Give one that descends from a CA that the site trusts.")
	}
	r.skipFrom(DeliverySigned, before)
}

// redirectTarget returns where a redirect leads, without the query.
func redirectTarget(from *url.URL, header http.Header) string {
	to, err := from.Parse(header.Get("Location"))
	if err != nil || header.Get("Location") == "" {
		return "nowhere"
	}
	return withoutQuery(to)
}

func withoutQuery(to *url.URL) string { return to.Scheme + "://" + to.Host + to.EscapedPath() }

// time compares the slowest answer with how long Meta waits.
func (r *run) time() {
	e := r.slowest
	text := fmt.Sprintf("The slowest answer, to %s, took %s; Meta waits for %s.", e.what, rounded(e.Latency), meta.AnswerWithin)
	advice := "Answer first and work afterwards: put instagram_queue in front of the application."
	if r.queued() {
		advice = "The queue answers once the events are on disk: see disk.sync, and look for a proxy or a slow line before Caddy."
	}
	switch {
	case e.Latency >= meta.AnswerWithin:
		r.fault(Time, text, advice)
	case e.Latency >= meta.AnswerWithin/2:
		r.warn(Time, text, "Little is left for a busy hour. "+advice)
	default:
		r.ok(Time, text)
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
