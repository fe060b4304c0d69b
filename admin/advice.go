package admin

import (
	"strings"

	"github.com/caddy-instagram/webhooks/internal/live"
)

// Refusal is a refused request, or several that were alike.
type Refusal struct {
	live.Refused

	// Advice says what to do about the reason.
	Advice string `json:"advice,omitempty"`
}

// refusals lists the last refusals, the newest first.
func (a *API) refusals(*request) (any, error) {
	all := []Refusal{}
	for _, refused := range a.feed().Refusals() {
		all = append(all, Refusal{refused, advice[refused.Reason]})
	}
	return all, nil
}

// advice is what the documentation says about each reason, under "Refused requests".
var advice = make(map[string]string)

func init() {
	for reasons, what := range map[string]string{
		"parameter_missing parameter_repeated parameter_malformed": "This GET request is not Meta's verification request. " +
			"Perhaps somebody opened the URL in a browser. " +
			"Only parameters named hub.* are examined: your callback URL may have others.",
		"body_incomplete": "The connection broke before the body ended. Meta sends it again.",
		"signature_missing": "Not from Meta, or a proxy in front removed X-Hub-Signature-256. " +
			"The old SHA-1 header is not enough.",
		"signature_repeated signature_malformed": "Not from Meta.",
		"signature_mismatch": "The wrong secret, an old one, or a proxy in front that changed the body. " +
			"Or a forgery.",
		"wrong_mode wrong_token":     "The verify token differs from the one in the dashboard.",
		"client_cert_no_tls":         "TLS ends before Caddy. See the example behind-a-load-balancer.",
		"client_cert_not_requested":  "Put client_auth { mode request } into the site's tls.",
		"client_cert_missing":        "Switch the certificate on in the dashboard.",
		"client_cert_unknown_issuer": "Download Meta's current CA.",
		"client_cert_wrong_name":     "A certificate of the same CA that belongs to somebody else.",
		"client_cert_expired client_cert_not_yet_valid": "The log says which certificate, and since or until when. " +
			"Check the clock.",
		"client_cert_invalid":    "The certificate cannot be used, or there were more than five. The log says why.",
		"method_not_allowed":     "Only GET and POST are understood.",
		"body_too_large":         "Raise max_size, or the limit of request_body.",
		"client_cert_early_data": "TLS early data proves no certificate. Clients repeat the request.",
		"untaken": "Authentic, but no handler after instagram_webhook took it: none matches, " +
			"or the one that does wrote no answer. Add one.",
	} {
		for reason := range strings.FieldsSeq(reasons) {
			advice[reason] = what
		}
	}
}
