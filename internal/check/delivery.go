package check

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// ofDeliveries are the checks that send deliveries, in order.
var ofDeliveries = []string{ClientCert, DeliverySigned, DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret, DeliveryUnchanged, DeliveryLarge}

// deliveries sends deliveries, right ones and forged ones.
func (v *run) deliveries() {
	if v.NoDeliveries {
		v.skip("no deliveries are to be sent", ofDeliveries...)
		return
	}
	signed := v.signed()
	if !v.clientCert(signed) {
		v.skip("a client certificate is demanded; give one with its key to check this", ofDeliveries[1:]...)
		return
	}
	good := v.judgeSigned(signed)

	body := plainBodies(time.Now())[0]
	other := plainBodies(time.Now().Add(-time.Hour))[0]
	stranger := rand.Text()
	key := stranger
	if len(v.secrets) > 0 {
		key = v.secrets[0].key
	}
	v.refuses(DeliveryUnsigned, "an unsigned delivery", body, nil, "")
	v.refuses(DeliveryWrongSignature, "a delivery with the signature of another body", body, other, key)
	v.refuses(DeliveryOtherSecret, "a delivery signed with another app's secret", body, body, stranger)

	switch {
	case len(v.secrets) == 0:
		v.skip("there is no app secret to sign with", DeliveryUnchanged, DeliveryLarge)
	case good == nil:
		v.skip("not even a small delivery is accepted", DeliveryUnchanged, DeliveryLarge)
	case v.unchanged(good.key):
		v.large(good.key)
	default:
		v.skip("something is wrong with smaller deliveries already", DeliveryLarge)
	}
}

// attempt is a signed delivery, or the better one of two.
type attempt struct {
	appSecret
	exchange
}

// signed sends a signed delivery for each app secret.
func (v *run) signed() []attempt {
	var all []attempt
	for _, secret := range v.secrets {
		a := attempt{appSecret: secret}
		for _, body := range plainBodies(time.Now()) {
			if a.exchange = v.deliver("a signed delivery", body, body, secret.key, v.Certificate); a.status != http.StatusUnauthorized {
				break // the signature was not the trouble
			}
		}
		all = append(all, a)
	}
	return all
}

// clientCert checks whether a client certificate is demanded. It reports false if
// nothing can be said about deliveries without one.
func (v *run) clientCert(signed []attempt) bool {
	configured := v.setup != nil && v.setup.certDemanded
	const demand = "Put client_cert into instagram_webhook to demand it of deliveries."
	switch {
	case v.url.Scheme == "http":
		v.skip("there is no TLS", ClientCert)
	case !v.asked && configured:
		v.fault(ClientCert, "The config demands a client certificate, but TLS does not ask for any: all deliveries are refused.",
			"Put 'client_auth { mode request }' into the site's tls directive. If a proxy or load balancer ends TLS before Caddy, client_cert cannot work.")
	case !v.asked && v.Certificate != nil:
		v.warn(ClientCert, "The client certificate that was given is not asked for.", "To demand Meta's, put 'client_auth { mode request }' into the site's tls directive, and client_cert into instagram_webhook.")
	case !v.asked:
		v.ok(ClientCert, "No client certificate is asked for; the signature alone says who sent a delivery.")
	case len(signed) == 0:
		v.skip("a client certificate is asked for, but there is no app secret to see with whether it is demanded", ClientCert)
	default:
		without := signed[0].exchange
		if v.Certificate != nil {
			body := plainBodies(time.Now())[0]
			without = v.deliver("a delivery without client certificate", body, body, signed[0].key, nil)
		}
		switch {
		case without.accepted() && configured:
			v.fault(ClientCert, "The config demands a client certificate, but deliveries without one are accepted.", "Reload Caddy, and look for another handler that takes this path.")
		case without.accepted():
			v.warn(ClientCert, "A client certificate is asked for, but deliveries without one are accepted.", demand)
		case without.status == http.StatusForbidden || without.err != nil && v.Certificate != nil:
			v.ok(ClientCert, fmt.Sprintf("Deliveries without client certificate are refused (%s).", without.outcome()))
			return v.Certificate != nil
		default:
			v.warn(ClientCert, fmt.Sprintf("A client certificate is asked for; a delivery without one is not accepted, but perhaps for another reason (%s).", without.outcome()), "Caddy's log has the reason, in a line 'request refused' if it is instagram_webhook that refuses.")
		}
	}
	return true
}

// judgeSigned says what became of the signed deliveries, and returns one that
// was accepted, or nil.
func (v *run) judgeSigned(signed []attempt) *attempt {
	if len(signed) == 0 {
		v.skip("there is no app secret to sign with", DeliverySigned)
	}
	var good *attempt
	for i, a := range signed {
		f := Finding{Check: DeliverySigned, Subject: a.name, Status: Fault}
		switch {
		case a.err != nil:
			f.Text = fmt.Sprintf("A signed delivery gets no answer: %s.", reasonOf(a.err))
			f.Advice = v.adviceWithout(a.err)
		case a.status == http.StatusOK:
			f.Status, f.Text = OK, fmt.Sprintf("A signed delivery is accepted (%s).", rounded(a.latency))
			good = &signed[i]
		case a.status == http.StatusUnauthorized && !a.passedOn():
			f.Text = fmt.Sprintf("A signed delivery is refused (%s): Caddy has another app secret, or something on the way changes the body or the header.", a.outcome())
			f.Advice = "Compare the secret: Instagram Login signs with the Instagram app secret, Facebook Login with the Meta app secret. If it was changed, reload Caddy with --force, or restart it if the secret is in its environment."
		case a.status == http.StatusForbidden && !a.passedOn() && v.Certificate != nil && v.asked:
			f.Text = fmt.Sprintf("A signed delivery is refused (%s), perhaps because of the client certificate that was given.", a.outcome())
			f.Advice = "The certificate must descend from a CA in client_cert's trust_pool, and have the right common name."
		case a.status == http.StatusForbidden && !a.passedOn():
			f.Text = fmt.Sprintf("A signed delivery is refused (%s).", a.outcome())
			f.Advice = "Something before instagram_webhook keeps strangers out, such as a firewall, a bot protection or a login: let Meta pass."
		default:
			f.Text = fmt.Sprintf("To a signed delivery %s; Meta counts that as a failure: it wants exactly 200.", v.answered(a.exchange))
			f.Advice = v.adviceFor(a.exchange)
		}
		v.add(f)
	}
	return good
}

// refuses checks that a forgery is not accepted.
func (v *run) refuses(check, what string, body, signed []byte, key string) {
	switch e := v.deliver(what, body, signed, key, v.Certificate); {
	case e.accepted():
		v.fault(check, fmt.Sprintf("It accepts %s (%s): anybody can forge events.", what, e.outcome()),
			"Let instagram_webhook handle all requests for this path, before everything that takes them.")
	case e.err != nil:
		v.warn(check, fmt.Sprintf("There is no answer to %s: %s.", what, reasonOf(e.err)), v.adviceWithout(e.err))
	default:
		v.ok(check, fmt.Sprintf("It refuses %s (%s).", what, e.outcome()))
	}
}

// unchanged checks that bodies arrive byte for byte, and reports whether they do.
func (v *run) unchanged(key string) bool {
	for _, body := range escapedBodies(time.Now()) {
		e := v.deliver("a delivery with escapes", body, body, key, v.Certificate)
		const what = `A delivery with escapes such as \u00e9 and \/`
		switch {
		case e.err == nil && e.status == http.StatusOK:
			continue
		case !e.passedOn() && (e.status == http.StatusUnauthorized || e.status == http.StatusForbidden):
			v.fault(DeliveryUnchanged, fmt.Sprintf("%s is refused (%s), and a plain one is accepted: something on the way changes the body.", what, e.outcome()),
				"Find the proxy, firewall or function before Caddy that reads the JSON and writes it anew, and let it pass the body on byte for byte. Or a firewall refuses the User-Agent of messages, facebookexternalua.")
		default:
			v.fault(DeliveryUnchanged, fmt.Sprintf("%s is answered with %s, and a plain one with 200.", what, e.outcome()), v.adviceFor(e))
		}
		return false
	}
	v.ok(DeliveryUnchanged, "Bodies with escapes arrive byte for byte.")
	return true
}

// maxProbes bounds how many deliveries are sent to find a limit.
const maxProbes = 12

// large checks that the largest batch gets through, and if not, what does.
func (v *run) large(key string) {
	body := batch(time.Now())
	e := v.deliver("a batch of 1000 updates", body, body, key, v.Certificate)
	if e.err == nil && e.status == http.StatusOK {
		v.ok(DeliveryLarge, fmt.Sprintf("A batch of %d updates (%s) is accepted.", meta.MaxUpdates, size(len(body))))
		return
	}
	// One update of that size each, so that not too much reaches the application.
	passes, fails := 0, len(body)
	for range maxProbes {
		if v.ctx.Err() != nil || passes > 0 && fails-passes < passes/20 || fails < 500 {
			break
		}
		probe := padded(time.Now(), (passes+fails)/2)
		if p := v.deliver("a larger delivery", probe, probe, key, v.Certificate); p.err == nil && p.status == http.StatusOK {
			passes = len(probe)
		} else {
			fails = len(probe)
		}
	}
	found := fmt.Sprintf("A batch of %d updates (%s) is not accepted (%s)", meta.MaxUpdates, size(len(body)), e.outcome())
	switch {
	case fails == len(body):
		v.fault(DeliveryLarge, found+", but one update of that size is.", v.adviceFor(e))
	case passes == 0:
		v.fault(DeliveryLarge, found+".", v.whoseLimit(len(body)))
	default:
		v.fault(DeliveryLarge, fmt.Sprintf("%s: %s pass, %s do not.", found, size(passes), size(fails)), v.whoseLimit(len(body)))
	}
}

// whoseLimit says whose limit for bodies is too low.
func (v *run) whoseLimit(size int) string {
	if v.setup != nil && v.setup.maxSize > 0 && v.setup.maxSize < int64(size) {
		return "Raise max_size of instagram_webhook, or remove it: the default is 8 MiB."
	}
	ours := "max_size of instagram_webhook or request_body in Caddy"
	if v.setup != nil {
		ours = "request_body in Caddy"
	}
	return fmt.Sprintf("Raise the limit for bodies to 8 MB: client_max_body_size in an nginx before Caddy, that of a firewall or function, or %s.", ours)
}

func size(n int) string { return humanize.Bytes(uint64(n)) }
