package handler

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// tokenHash is the SHA-256 of a verify token. Comparing hashes takes the same
// time whatever the lengths of the tokens are.
type tokenHash [sha256.Size]byte

func provisionTokens(tokens []string, doubts *doubts) ([]tokenHash, error) {
	if len(tokens) == 0 {
		return nil, errors.New("at least one verify_token is needed")
	}
	hashes := make([]tokenHash, len(tokens))
	for i, token := range tokens {
		resolved, err := resolve(token)
		if err != nil {
			return nil, fmt.Errorf("verify_token %d: %w", i+1, err)
		}
		doubts.verifyToken(i, token, resolved)
		hashes[i] = sha256.Sum256([]byte(resolved))
	}
	return hashes, nil
}

// verify answers the request that Meta sends when a callback URL is set (see
// "Webhooks › Getting started › Verification requests"). It carries no
// signature.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request) *refusal {
	if h.ClientCert != nil && h.ClientCert.Verification {
		if refused := h.ClientCert.check(r); refused != nil {
			return refused
		}
	}
	query, refused := hubParameters(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	mode, refused := parameter(query, meta.ParamMode)
	if refused != nil {
		return refused
	}
	token, refused := parameter(query, meta.ParamToken)
	if refused != nil {
		return refused
	}
	challenge, refused := parameter(query, meta.ParamChallenge)
	if refused != nil {
		return refused
	}
	if !isPlain(challenge, 256) { // nothing that a browser could take for HTML is sent back
		return badParameter.because(errors.New("hub.challenge is not 1 to 256 letters, digits, dots, hyphens or underscores"))
	}
	if mode != meta.ModeSubscribe {
		return wrongMode.because(errors.New("hub.mode is not subscribe"))
	}
	if !h.knowsToken(token) {
		return wrongToken.because(errors.New("hub.verify_token matches none of the verify tokens: compare it with the one in the App Dashboard"))
	}

	header := w.Header()
	header.Set("Content-Type", "text/plain")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(challenge)))
	// A failed write means that Meta is gone; it will ask again.
	_, _ = w.Write([]byte(challenge))
	return nil
}

// hubParameters returns the parameters of a query whose names begin with "hub.",
// decoded once. These must be well-formed, and others are not looked at: they
// belong to whoever chose the callback URL.
func hubParameters(query string) (url.Values, *refusal) {
	parameters := make(url.Values, 3)
	for pair := range strings.SplitSeq(query, "&") {
		escaped, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escaped)
		if err != nil || !strings.HasPrefix(name, "hub.") {
			continue
		}
		value, err = url.QueryUnescape(value)
		if err != nil || strings.Contains(pair, ";") { // which some take for a separator
			return nil, badParameter.because(errors.New("a parameter hub.* of the query is not well-formed"))
		}
		parameters[name] = append(parameters[name], value)
	}
	return parameters, nil
}

// parameter returns the value of a query parameter that must be there once.
func parameter(query url.Values, name string) (string, *refusal) {
	values := query[name]
	switch {
	case len(values) == 0:
		return "", missingParameter.because(fmt.Errorf("%s is missing: this is not a verification request from Meta", name))
	case len(values) > 1:
		return "", repeatedParameter.because(fmt.Errorf("%s is given %d times", name, len(values)))
	case values[0] == "":
		return "", badParameter.because(fmt.Errorf("%s is empty", name))
	}
	return values[0], nil
}

// isPlain reports whether s is one to longest letters, digits, dots, hyphens or
// underscores.
func isPlain(s string, longest int) bool {
	if len(s) == 0 || len(s) > longest {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// knowsToken compares with every token, also after a match.
func (h *Handler) knowsToken(token string) bool {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	known := 0
	for i := range h.tokens {
		known |= subtle.ConstantTimeCompare(hash[:], h.tokens[i][:])
	}
	return known == 1
}
