package handler

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// AppSecret is one key that deliveries may be signed with.
type AppSecret = appsecret.AppSecret

// secret is an app secret with what is counted of it.
type secret struct {
	*appsecret.Secret

	accepted, unhandled prometheus.Counter // of deliveries
	matched             *live.Moment
}

func provisionSecrets(configured []AppSecret, warnings *secretWarnings) ([]*secret, error) {
	resolved, err := appsecret.Resolve(configured, warnings.appSecret)
	if err != nil {
		return nil, err
	}
	secrets := make([]*secret, len(resolved))
	for i, s := range resolved {
		secrets[i] = &secret{Secret: s}
	}
	return secrets, nil
}

// parseSignature returns the one signature in header.
func parseSignature(header http.Header) (signature [sha256.Size]byte, rejected *rejection) {
	values := header[meta.HeaderSignature]
	if len(values) == 0 {
		return signature, signatureMissing.withCause(errors.New("the header X-Hub-Signature-256 is missing: " +
			"this delivery is not signed, or a proxy removed the header"))
	}
	if len(values) > 1 {
		return signature, signatureRepeated.withCause(
			fmt.Errorf("the header X-Hub-Signature-256 is given %d times", len(values)))
	}
	digits, found := strings.CutPrefix(values[0], "sha256=")
	var buf [2 * sha256.Size]byte
	if found && len(digits) == len(buf) {
		copy(buf[:], digits)
		if _, err := hex.Decode(signature[:], buf[:]); err == nil {
			return signature, nil
		}
	}
	return signature, signatureMalformed.withCause(
		errors.New("the header X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits"))
}

// mismatch is the error of a delivery whose signature matches no secret. It
// becomes text where somebody reads it: forgeries come in floods.
type mismatch struct{ size, secrets int }

func (m mismatch) Error() string {
	return fmt.Sprintf("the signature of %s matches none of the %d app secrets: Instagram Login signs with the "+
		"Instagram app secret, Facebook Login with the Meta app secret; a body changed on the way here fails too",
		humanize.IBytes(uint64(m.size)), m.secrets)
}

// checkDelivery decides whether a delivery is authentic, cheapest check first. It
// returns the secret that matched and the raw body.
func (h *Handler) checkDelivery(r *http.Request) (*secret, *buffer, *rejection) {
	if h.ClientCert != nil {
		if rejected := h.ClientCert.check(r); rejected != nil {
			return nil, nil, rejected
		}
	}
	signature, rejected := parseSignature(r.Header)
	if rejected != nil {
		return nil, nil, rejected
	}
	body, rejected := readBody(r, h.MaxSize)
	if rejected != nil {
		return nil, nil, rejected
	}
	rejected = signatureMismatch.withCause(mismatch{body.Len(), len(h.secrets)})
	for _, s := range h.secrets {
		if sum := s.Sign(body.Bytes()); hmac.Equal(sum[:], signature[:]) {
			if !isSignedRequest(body.Bytes()) {
				return s, body, nil
			}
			rejected = signatureMismatch.withCause(errSignedRequest)
		}
	}
	body.free()
	return nil, nil, rejected
}

var errSignedRequest = errors.New("the body is the text of a signed_request, and its signature that of a login: it is no delivery")

// isSignedRequest reports whether a body is what Meta signs with the app secret in a
// signed_request. Each user of an app can have one, in the cookie of a login, and could
// send it as a delivery.
func isSignedRequest(body []byte) bool {
	if len(body) == 0 || body[0] != 'e' { // as '{' is in base64
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(body), "="))
	return err == nil && bytes.Contains(text, []byte(`"algorithm"`))
}
