package check

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// verification sends verification requests with the right token, a wrong one
// and none.
func (r *run) verification() {
	switch {
	case r.Certificate == nil && r.certRequested && r.setup != nil && r.setup.certForVerification:
		r.skip("the config demands a client certificate for it; give one with its key to check this", Verification, VerificationWrongToken, VerificationNoToken)
		return
	case r.token == "":
		r.skip("there is no verify token to check it with", Verification)
	default:
		r.acceptsToken()
	}
	r.refusesToken(VerificationWrongToken, "a wrong verify token", "not-the-verify-token-"+rand.Text())
	r.refusesToken(VerificationNoToken, "no verify token", "")
}

// requestVerification sends a verification request and returns the challenge in it.
func (r *run) requestVerification(what, token string) (exchange, string) {
	challenge := simulate.NewChallenge()
	return r.get(what, simulate.VerificationURL(r.url, token, challenge)), challenge
}

// acceptsToken checks that the right token gets the challenge.
func (r *run) acceptsToken() {
	e, challenge := r.requestVerification("the verification request", r.token)
	contentType, _, _ := mime.ParseMediaType(e.Header.Get("Content-Type"))
	body := string(e.Answer)
	wrong := func(what, advice string) {
		r.fault(Verification, fmt.Sprintf("With the right verify token, %s.", what), advice)
	}
	switch {
	case e.Err != nil:
		wrong("there is no answer: "+reasonOf(e.Err), r.adviceForNoAnswer(e.Err))
	case e.redirects():
		wrong(fmt.Sprintf("the answer is a redirect (%d) to %s, and Meta follows none", e.Status, redirectTarget(r.url, e.Header)),
			"Give Meta the URL that it leads to, or take the redirect away.")
	case e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized:
		advice := "Caddy has another verify token, or something before it keeps strangers out: compare the tokens, and if it was changed reload Caddy with --force, or restart it if the token is in its environment. If Caddy refuses, its log says so in a line 'request refused'."
		if r.certRequested && r.Certificate == nil {
			advice += " It also asks for a client certificate; if it demands one for the verification, give one with its key."
		}
		wrong(fmt.Sprintf("the request is refused (%s)", e.outcome()), advice)
	case e.Status > http.StatusOK && e.Status < 300:
		wrong(fmt.Sprintf("the answer is %s, not 200", e.outcome()), "Something else answers this path: let instagram_webhook handle it.")
	case e.Status != http.StatusOK:
		wrong(fmt.Sprintf("the answer is %s, not 200", e.outcome()), r.adviceFor(e))
	case body == challenge && contentType == "text/html":
		r.warn(Verification, "The challenge is answered rightly, but as text/html.", "Answer it as text/plain: nobody should be able to make a browser show what stands in the URL.")
	case body == challenge:
		r.ok(Verification, fmt.Sprintf("The right verify token is answered with the challenge (%s, %s).", cmp.Or(contentType, "no content type"), rounded(e.Latency)))
	case strings.TrimSpace(body) == challenge:
		wrong("there is white space around the challenge", "Send back the challenge alone, without a line feed or a byte order mark.")
	case strings.Trim(strings.TrimSpace(body), `"'`) == challenge:
		wrong("there are quotation marks around the challenge", "Send it as plain text, not as JSON.")
	case contentType == "text/html" || bytes.HasPrefix(bytes.TrimSpace(e.Answer), []byte("<")):
		wrong("the answer is a web page, not the challenge", "Something else answers this path, such as a start page or a login: let instagram_webhook handle it, before what serves pages.")
	case body == "":
		wrong("the answer is empty", "Send back the challenge: let instagram_webhook handle this path.")
	case strings.Contains(body, challenge):
		wrong("there is more in the answer than the challenge", "Send back the challenge alone.")
	default:
		wrong(fmt.Sprintf("the answer is 200 with %d bytes that are not the challenge", len(e.Answer)), "Something else answers this path: let instagram_webhook handle it.")
	}
}

// refusesToken checks that a token does not get the challenge.
func (r *run) refusesToken(check, what, token string) {
	e, challenge := r.requestVerification("a verification request with "+what, token)
	switch {
	case e.Err != nil:
		r.warn(check, fmt.Sprintf("With %s there is no answer: %s.", what, reasonOf(e.Err)), r.adviceForNoAnswer(e.Err))
	case e.Status == http.StatusOK && string(e.Answer) == challenge:
		r.fault(check, fmt.Sprintf("With %s the answer is the challenge all the same.", what),
			"Compare the verify token: as it is, anybody can make this URL the callback of an app of theirs.")
	default:
		r.ok(check, fmt.Sprintf("With %s the challenge is not sent back (%s).", what, e.outcome()))
	}
}
