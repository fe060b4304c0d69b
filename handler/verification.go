package handler

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
)

// provisionTokens returns the SHA-256 of each verify token. Comparing hashes takes
// the same time whatever the lengths of the tokens are.
func provisionTokens(tokens []string, warnings *secretWarnings) ([][sha256.Size]byte, error) {
	if len(tokens) == 0 {
		return nil, errors.New("at least one verify_token is needed")
	}
	hashes := make([][sha256.Size]byte, len(tokens))
	for i, token := range tokens {
		resolved, err := placeholder.Resolve(token)
		if err != nil {
			return nil, fmt.Errorf("verify_token %d: %w", i+1, err)
		}
		warnings.verifyToken(i, token, resolved)
		hashes[i] = sha256.Sum256([]byte(resolved))
	}
	return hashes, nil
}

// plainChallenge is what is sent back: nothing that a browser could take for HTML.
var plainChallenge = regexp.MustCompile(`^[0-9A-Za-z._-]{1,256}$`)

// checkVerification decides about a verification request. It returns the challenge
// to answer it with.
func (h *Handler) checkVerification(r *http.Request) (challenge string, rejected *rejection) {
	if h.ClientCert != nil && h.ClientCert.Verification {
		if rejected := h.ClientCert.check(r); rejected != nil {
			return "", rejected
		}
	}
	parameters, rejected := hubParameters(r.URL.RawQuery)
	if rejected != nil {
		return "", rejected
	}
	for _, name := range []string{meta.ParamMode, meta.ParamToken, meta.ParamChallenge} {
		switch values := parameters[name]; {
		case len(values) == 0:
			return "", missingParameter.withCause(
				fmt.Errorf("%s is missing: this is not a verification request from Meta", name))
		case len(values) > 1:
			return "", repeatedParameter.withCause(fmt.Errorf("%s is given %d times", name, len(values)))
		case values[0] == "":
			return "", badParameter.withCause(fmt.Errorf("%s is empty", name))
		}
	}
	challenge = parameters.Get(meta.ParamChallenge)
	switch {
	case !plainChallenge.MatchString(challenge):
		return "", badParameter.withCause(
			errors.New("hub.challenge is not 1 to 256 letters, digits, dots, hyphens or underscores"))
	case parameters.Get(meta.ParamMode) != meta.ModeSubscribe:
		return "", wrongMode.withCause(errors.New("hub.mode is not subscribe"))
	case !h.knowsToken(parameters.Get(meta.ParamToken)):
		return "", wrongToken.withCause(errors.New("hub.verify_token matches none of the verify tokens: " +
			"compare it with the one in the App Dashboard"))
	}
	return challenge, nil
}

// writeChallenge answers a verification request.
func writeChallenge(w http.ResponseWriter, challenge string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(challenge)))
	// A failed write means that Meta is gone; it will ask again.
	_, _ = io.WriteString(w, challenge)
}

// hubParameters returns the parameters of a query whose names begin with "hub.",
// decoded once. These must be well-formed, and others are not looked at: they
// belong to whoever chose the callback URL.
func hubParameters(query string) (url.Values, *rejection) {
	parameters := make(url.Values, 3)
	for pair := range strings.SplitSeq(query, "&") {
		escaped, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escaped)
		if err != nil || !strings.HasPrefix(name, "hub.") {
			continue
		}
		value, err = url.QueryUnescape(value)
		if err != nil || strings.Contains(pair, ";") { // which some take for a separator
			return nil, badParameter.withCause(errors.New("a parameter hub.* of the query is not well-formed"))
		}
		parameters.Add(name, value)
	}
	return parameters, nil
}

// knowsToken compares with every token, also after a match.
func (h *Handler) knowsToken(token string) bool {
	hash := sha256.Sum256([]byte(token))
	known := 0
	for i := range h.tokens {
		known |= subtle.ConstantTimeCompare(hash[:], h.tokens[i][:])
	}
	return known == 1
}
