package check

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// deliveryChecks are the checks that send deliveries, in order.
var deliveryChecks = []string{ClientCert, DeliverySigned, DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret, DeliveryUnchanged, DeliveryLarge}

// deliveries sends authentic deliveries and forged ones.
func (r *run) deliveries() {
	if r.NoDeliveries {
		r.skip("no deliveries are to be sent", deliveryChecks...)
		return
	}
	signed := r.signed()
	if !r.clientCert(signed) {
		r.skip("a client certificate is demanded; give one with its key to check this", deliveryChecks[1:]...)
		return
	}
	good := r.reportSigned(signed)

	body := plainBodies(time.Now())[0]
	stranger := rand.Text()
	key := stranger
	if len(r.secrets) > 0 {
		key = r.secrets[0].key
	}
	changed := simulate.NewDelivery(key, plainBodies(time.Now().Add(-time.Hour))[0])
	changed.Body = body
	r.refuses(DeliveryUnsigned, "an unsigned delivery", &simulate.Delivery{Body: body})
	r.refuses(DeliveryWrongSignature, "a delivery with the signature of another body", changed)
	r.refuses(DeliveryOtherSecret, "a delivery signed with another app's secret", simulate.NewDelivery(stranger, body))

	switch {
	case len(r.secrets) == 0:
		r.skip("there is no app secret to sign with", DeliveryUnchanged, DeliveryLarge)
	case good == nil:
		r.skip("not even a small delivery is accepted", DeliveryUnchanged, DeliveryLarge)
	case r.unchanged(good.key):
		r.large(good.key)
	default:
		r.skip("something is wrong with smaller deliveries already", DeliveryLarge)
	}
}

// signedDelivery is what came of a delivery signed with an app secret.
type signedDelivery struct {
	appSecret
	exchange
}

// signed sends a signed delivery for each app secret.
func (r *run) signed() []signedDelivery {
	var all []signedDelivery
	for _, secret := range r.secrets {
		a := signedDelivery{appSecret: secret}
		for _, body := range plainBodies(time.Now()) {
			if a.exchange = r.deliver("a signed delivery", simulate.NewDelivery(secret.key, body)); a.Status != http.StatusUnauthorized {
				break // the signature was not the trouble
			}
		}
		all = append(all, a)
	}
	return all
}

// clientCert checks whether a client certificate is demanded. It reports false if
// nothing can be said about deliveries without one.
func (r *run) clientCert(signed []signedDelivery) bool {
	configured := r.setup != nil && r.setup.certDemanded
	const demand = "Put client_cert into instagram_webhook to demand it of deliveries."
	switch {
	case r.url.Scheme == "http":
		r.skip("there is no TLS", ClientCert)
	case !r.certRequested && configured:
		r.fault(ClientCert, "The config demands a client certificate, but TLS does not ask for any: all deliveries are refused.",
			"Put 'client_auth { mode request }' into the site's tls directive. If a proxy or load balancer ends TLS before Caddy, client_cert cannot work.")
	case !r.certRequested && r.Certificate != nil:
		r.warn(ClientCert, "The client certificate that was given is not asked for.", "To demand Meta's, put 'client_auth { mode request }' into the site's tls directive, and client_cert into instagram_webhook.")
	case !r.certRequested:
		r.ok(ClientCert, "No client certificate is asked for; the signature alone says who sent a delivery.")
	case len(signed) == 0:
		r.skip("a client certificate is asked for, but there is no app secret to see with whether it is demanded", ClientCert)
	default:
		without := signed[0].exchange
		if r.Certificate != nil {
			d := simulate.NewDelivery(signed[0].key, plainBodies(time.Now())[0])
			without = r.send("a delivery without client certificate", d.Append(nil, r.url), nil)
		}
		switch {
		case without.accepted() && configured:
			r.fault(ClientCert, "The config demands a client certificate, but deliveries without one are accepted.", "Reload Caddy, and look for another handler that takes this path.")
		case without.accepted():
			r.warn(ClientCert, "A client certificate is asked for, but deliveries without one are accepted.", demand)
		case without.Status == http.StatusForbidden || without.Err != nil && r.Certificate != nil:
			r.ok(ClientCert, fmt.Sprintf("Deliveries without client certificate are refused (%s).", without.outcome()))
			return r.Certificate != nil
		default:
			r.warn(ClientCert, fmt.Sprintf("A client certificate is asked for; a delivery without one is not accepted, but perhaps for another reason (%s).", without.outcome()), "Caddy's log has the reason, in a line 'request refused' if it is instagram_webhook that refuses.")
		}
	}
	return true
}

// reportSigned says what became of the signed deliveries, and returns one that
// was accepted, or nil.
func (r *run) reportSigned(signed []signedDelivery) *signedDelivery {
	if len(signed) == 0 {
		r.skip("there is no app secret to sign with", DeliverySigned)
	}
	var good *signedDelivery
	for i, a := range signed {
		f := Finding{Check: DeliverySigned, Subject: a.name, Status: Fault}
		switch {
		case a.Err != nil:
			f.Text = fmt.Sprintf("A signed delivery gets no answer: %s.", reasonOf(a.Err))
			f.Advice = r.adviceForNoAnswer(a.Err)
		case a.Status == http.StatusOK:
			f.Status, f.Text = OK, fmt.Sprintf("A signed delivery is accepted (%s).", rounded(a.Latency))
			good = &signed[i]
		case a.Status == http.StatusUnauthorized && !a.fromApplication():
			f.Text = fmt.Sprintf("A signed delivery is refused (%s): Caddy has another app secret, or something on the way changes the body or the header.", a.outcome())
			f.Advice = "Compare the secret: Instagram Login signs with the Instagram app secret, Facebook Login with the Meta app secret. If it was changed, reload Caddy with --force, or restart it if the secret is in its environment."
		case a.Status == http.StatusForbidden && !a.fromApplication() && r.Certificate != nil && r.certRequested:
			f.Text = fmt.Sprintf("A signed delivery is refused (%s), perhaps because of the client certificate that was given.", a.outcome())
			f.Advice = "The certificate must descend from a CA in client_cert's trust_pool, and have the right common name."
		case a.Status == http.StatusForbidden && !a.fromApplication():
			f.Text = fmt.Sprintf("A signed delivery is refused (%s).", a.outcome())
			f.Advice = "Something before instagram_webhook keeps strangers out, such as a firewall, a bot protection or a login: let Meta pass."
		default:
			f.Text = fmt.Sprintf("To a signed delivery %s; Meta counts that as a failure: it wants exactly 200.", r.answered(a.exchange))
			f.Advice = r.adviceFor(a.exchange)
		}
		r.add(f)
	}
	return good
}

// refuses checks that a forgery is not accepted.
func (r *run) refuses(check, what string, d *simulate.Delivery) {
	switch e := r.deliver(what, d); {
	case e.accepted():
		r.fault(check, fmt.Sprintf("It accepts %s (%s): anybody can forge events.", what, e.outcome()),
			"Let instagram_webhook handle all requests for this path, before everything that takes them.")
	case e.Err != nil:
		r.warn(check, fmt.Sprintf("There is no answer to %s: %s.", what, reasonOf(e.Err)), r.adviceForNoAnswer(e.Err))
	default:
		r.ok(check, fmt.Sprintf("It refuses %s (%s).", what, e.outcome()))
	}
}

// unchanged checks that bodies arrive byte for byte, and reports whether they do.
func (r *run) unchanged(key string) bool {
	for _, body := range escapedBodies(time.Now()) {
		e := r.deliver("a delivery with escapes", simulate.NewDelivery(key, body))
		const what = `A delivery with escapes such as \u00e9 and \/`
		switch {
		case e.Err == nil && e.Status == http.StatusOK:
			continue
		case !e.fromApplication() && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden):
			r.fault(DeliveryUnchanged, fmt.Sprintf("%s is refused (%s), and a plain one is accepted: something on the way changes the body.", what, e.outcome()),
				"Find the proxy, firewall or function before Caddy that reads the JSON and writes it anew, and let it pass the body on byte for byte. Or a firewall refuses the User-Agent of messages, facebookexternalua.")
		default:
			r.fault(DeliveryUnchanged, fmt.Sprintf("%s is answered with %s, and a plain one with 200.", what, e.outcome()), r.adviceFor(e))
		}
		return false
	}
	r.ok(DeliveryUnchanged, "Bodies with escapes arrive byte for byte.")
	return true
}

// maxProbes bounds how many deliveries are sent to find a limit.
const maxProbes = 12

// large checks that the largest batch gets through, and if not, what does.
func (r *run) large(key string) {
	body := batch(time.Now())
	e := r.deliver(fmt.Sprintf("a batch of %d updates", meta.MaxUpdates), simulate.NewDelivery(key, body))
	if e.Err == nil && e.Status == http.StatusOK {
		r.ok(DeliveryLarge, fmt.Sprintf("A batch of %d updates (%s) is accepted.", meta.MaxUpdates, size(len(body))))
		return
	}
	// One update of that size each, so that not too much reaches the application.
	passes, fails := 0, len(body)
	for range maxProbes {
		if r.ctx.Err() != nil || passes > 0 && fails-passes < passes/20 || fails < 500 {
			break
		}
		probe := padded(time.Now(), (passes+fails)/2)
		if p := r.deliver("a larger delivery", simulate.NewDelivery(key, probe)); p.Err == nil && p.Status == http.StatusOK {
			passes = len(probe)
		} else {
			fails = len(probe)
		}
	}
	found := fmt.Sprintf("A batch of %d updates (%s) is not accepted (%s)", meta.MaxUpdates, size(len(body)), e.outcome())
	switch {
	case fails == len(body):
		r.fault(DeliveryLarge, found+", but one update of that size is.", r.adviceFor(e))
	case passes == 0:
		r.fault(DeliveryLarge, found+".", r.whoseLimit(len(body)))
	default:
		r.fault(DeliveryLarge, fmt.Sprintf("%s: %s pass, %s do not.", found, size(passes), size(fails)), r.whoseLimit(len(body)))
	}
}

// whoseLimit says whose limit for bodies is too low.
func (r *run) whoseLimit(size int) string {
	if r.setup != nil && r.setup.maxSize > 0 && r.setup.maxSize < int64(size) {
		return fmt.Sprintf("Raise max_size of instagram_webhook, or remove it: the default is %d MiB.", handler.DefaultMaxSize>>20)
	}
	ours := "max_size of instagram_webhook or request_body in Caddy"
	if r.setup != nil {
		ours = "request_body in Caddy"
	}
	return fmt.Sprintf("Raise the limit for bodies to 8 MB: client_max_body_size in an nginx before Caddy, that of a firewall or function, or %s.", ours)
}

func size(n int) string { return humanize.Bytes(uint64(n)) }
