package check

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// verification sends verification requests with the right token, a wrong one
// and none.
func (v *run) verification() {
	switch {
	case v.Certificate == nil && v.asked && v.setup != nil && v.setup.certForVerification:
		v.skip("the config demands a client certificate for it; give one with its key to check this", Verification, VerificationWrongToken, VerificationNoToken)
		return
	case v.token == "":
		v.skip("there is no verify token to check it with", Verification)
	default:
		v.handshakeAnswer()
	}
	v.refusesToken(VerificationWrongToken, "a wrong verify token", "not-the-verify-token-"+rand.Text())
	v.refusesToken(VerificationNoToken, "no verify token", "")
}

// ask sends a verification request and returns the challenge in it.
func (v *run) ask(what, token string) (exchange, string) {
	challenge := number()
	query := url.Values{"hub.mode": {"subscribe"}, "hub.challenge": {challenge}}
	if token != "" {
		query.Set("hub.verify_token", token)
	}
	return v.get(what, query, v.Certificate), challenge
}

// number returns ten digits, as Meta's challenges are.
func number() string {
	n, err := rand.Int(rand.Reader, big.NewInt(9e9))
	if err != nil {
		panic(err) // the system's random numbers do not fail
	}
	return n.Add(n, big.NewInt(1e9)).String()
}

// handshakeAnswer checks the answer to the right token.
func (v *run) handshakeAnswer() {
	e, challenge := v.ask("the verification request", v.token)
	contentType, _, _ := mime.ParseMediaType(e.header.Get("Content-Type"))
	body := string(e.body)
	wrong := func(what, advice string) {
		v.fault(Verification, fmt.Sprintf("With the right verify token, %s.", what), advice)
	}
	switch {
	case e.err != nil:
		wrong("there is no answer: "+reasonOf(e.err), v.adviceWithout(e.err))
	case e.status >= 300 && e.status < 400:
		wrong(fmt.Sprintf("the answer is a redirect (%d) to %s, and Meta follows none", e.status, target(v.url, e.header)),
			"Give Meta the URL that it leads to, or take the redirect away.")
	case e.status == http.StatusForbidden || e.status == http.StatusUnauthorized:
		advice := "Caddy has another verify token, or something before it keeps strangers out: compare the tokens, and if it was changed reload Caddy with --force, or restart it if the token is in its environment. If Caddy refuses, its log says so in a line 'request refused'."
		if v.asked && v.Certificate == nil {
			advice += " It also asks for a client certificate; if it demands one for the verification, give one with its key."
		}
		wrong(fmt.Sprintf("the request is refused (%s)", e.outcome()), advice)
	case e.status > http.StatusOK && e.status < 300:
		wrong(fmt.Sprintf("the answer is %s, not 200", e.outcome()), "Something else answers this path: let instagram_webhook handle it.")
	case e.status != http.StatusOK:
		wrong(fmt.Sprintf("the answer is %s, not 200", e.outcome()), v.adviceFor(e))
	case body == challenge && contentType == "text/html":
		v.warn(Verification, "The challenge is answered rightly, but as text/html.", "Answer it as text/plain: nobody should be able to make a browser show what stands in the URL.")
	case body == challenge:
		v.ok(Verification, fmt.Sprintf("The right verify token is answered with the challenge (%s, %s).", quoteOr(contentType, "no content type"), rounded(e.latency)))
	case strings.TrimSpace(body) == challenge:
		wrong("there is white space around the challenge", "Send back the challenge alone, without a line feed or a byte order mark.")
	case strings.Trim(strings.TrimSpace(body), `"'`) == challenge:
		wrong("there are quotation marks around the challenge", "Send it as plain text, not as JSON.")
	case contentType == "text/html" || bytes.HasPrefix(bytes.TrimSpace(e.body), []byte("<")):
		wrong("the answer is a web page, not the challenge", "Something else answers this path, such as a start page or a login: let instagram_webhook handle it, before what serves pages.")
	case body == "":
		wrong("the answer is empty", "Send back the challenge: let instagram_webhook handle this path.")
	case strings.Contains(body, challenge):
		wrong("there is more in the answer than the challenge", "Send back the challenge alone.")
	default:
		wrong(fmt.Sprintf("the answer is 200 with %d bytes that are not the challenge", len(e.body)), "Something else answers this path: let instagram_webhook handle it.")
	}
}

func quoteOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// refusesToken checks that a token does not get the challenge.
func (v *run) refusesToken(check, what, token string) {
	e, challenge := v.ask("a verification request with "+what, token)
	switch {
	case e.err != nil:
		v.warn(check, fmt.Sprintf("With %s there is no answer: %s.", what, reasonOf(e.err)), v.adviceWithout(e.err))
	case e.status == http.StatusOK && string(e.body) == challenge:
		v.fault(check, fmt.Sprintf("With %s the answer is the challenge all the same.", what),
			"Compare the verify token: as it is, anybody can make this URL the callback of an app of theirs.")
	default:
		v.ok(check, fmt.Sprintf("With %s the challenge is not sent back (%s).", what, e.outcome()))
	}
}
