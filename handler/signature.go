package handler

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// AppSecret is one key that deliveries may be signed with.
type AppSecret struct {
	// Name tells the secrets apart in logs, in metrics and in the placeholder
	// `{instagram.secret}`. It is 1 to 64 letters, digits, dots, hyphens or
	// underscores. Default: `secret1` for the first, `secret2` for the second…
	Name string `json:"name,omitempty"`

	// Secret is the app secret as the App Dashboard shows it. Placeholders are
	// resolved when the config is loaded; use `{env.*}` or `{file.*}`, which
	// keep it out of the config. A value other than 32 hexadecimal digits is
	// warned of.
	Secret string `json:"secret,omitempty"`
}

// secret is an app secret ready to check signatures with.
type secret struct {
	name string
	macs sync.Pool // of *mac

	accepted, unhandled prometheus.Counter // of deliveries
	matched             *live.Moment
}

// mac is one reusable HMAC state with room for its sum.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

func provisionSecrets(configured []AppSecret, warnings *secretWarnings) ([]*secret, error) {
	if len(configured) == 0 {
		return nil, errors.New("at least one app_secret is needed")
	}
	secrets := make([]*secret, len(configured))
	names := make(map[string]bool, len(configured))
	for i, c := range configured {
		name := c.Name
		if name == "" {
			name = "secret" + strconv.Itoa(i+1)
		}
		if err := ValidateSecretName(name); err != nil {
			return nil, err
		}
		if names[name] {
			return nil, fmt.Errorf("two app secrets have the name %q", name)
		}
		names[name] = true
		key, err := placeholder.Resolve(c.Secret)
		if err != nil {
			return nil, fmt.Errorf("app_secret %q: %w", name, err)
		}
		warnings.appSecret(name, c.Secret, key)
		secrets[i] = &secret{name: name}
		secrets[i].macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, []byte(key))} }
	}
	return secrets, nil
}

// plainName is what can stand in logs, metrics and placeholders.
var plainName = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

// ValidateSecretName returns an error for a name that cannot stand in logs,
// metrics and placeholders.
func ValidateSecretName(name string) error {
	if !plainName.MatchString(name) {
		return errors.New("the name of an app_secret must be 1 to 64 letters, digits, dots, hyphens or underscores")
	}
	if secretcheck.Describe(strings.ToLower(name)) == "" {
		return errors.New("the name of an app_secret looks like a secret: the name comes first")
	}
	return nil
}

// Sign returns the HMAC-SHA256 of body under this secret. It implements
// event.Signer.
func (s *secret) Sign(body []byte) [sha256.Size]byte {
	m := s.macs.Get().(*mac)
	m.Reset()
	m.Write(body)
	m.Sum(m.sum[:0])
	sum := m.sum
	s.macs.Put(m)
	return sum
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
	for _, s := range h.secrets {
		if sum := s.Sign(body.Bytes()); hmac.Equal(sum[:], signature[:]) {
			return s, body, nil
		}
	}
	rejected = signatureMismatch.withCause(mismatch{body.Len(), len(h.secrets)})
	body.free()
	return nil, nil, rejected
}
