// Package appsecret holds the keys that Meta signs with.
package appsecret

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/placeholder"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// AppSecret is one key that Meta may sign with.
type AppSecret struct {
	// Name tells the secrets apart in logs, in metrics and in the placeholder
	// `{instagram.secret}`. It is 1 to 64 letters, digits, dots, hyphens or
	// underscores. Default: `secret1` for the first, `secret2` for the second…
	Name string `json:"name,omitempty"`

	// Secret is the app secret as the App Dashboard shows it. Placeholders are
	// resolved when the config is loaded; use `{env.*}` or `{file.*}`, which
	// keep it out of the config. A value of less than 16 characters is refused,
	// and one other than 32 hexadecimal digits is warned of.
	Secret string `json:"secret,omitempty"`
}

// Secret is an app secret ready to sign with. It implements event.Signer.
type Secret struct {
	Name string

	macs sync.Pool // of *mac
}

// mac is one reusable HMAC state with room for its sum.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

// minLength is how many characters an app secret has at least. With a shorter one, such as a
// word that got into its place, deliveries could be forged.
const minLength = 16

// Resolve returns the secrets in order, at least one. It calls inspect, unless that is
// nil, with the name, the configured and the resolved value of each.
func Resolve(configured []AppSecret, inspect func(name, configured, value string)) ([]*Secret, error) {
	if len(configured) == 0 {
		return nil, errors.New("at least one app_secret is needed")
	}
	secrets := make([]*Secret, len(configured))
	names := make(map[string]bool, len(configured))
	for i, c := range configured {
		name := c.Name
		if name == "" {
			name = "secret" + strconv.Itoa(i+1)
		}
		if err := ValidateName(name); err != nil {
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
		if utf8.RuneCountInString(key) < minLength {
			return nil, fmt.Errorf("app_secret %q: it is no app secret, as it has less than %d characters: Meta's have 32", name, minLength)
		}
		if inspect != nil {
			inspect(name, c.Secret, key)
		}
		secrets[i] = &Secret{Name: name}
		secrets[i].macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, []byte(key))} }
	}
	return secrets, nil
}

// plainName is what can stand in logs, metrics and placeholders.
var plainName = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

// ValidateName returns an error for a name that cannot stand in logs, metrics and
// placeholders.
func ValidateName(name string) error {
	if !plainName.MatchString(name) {
		return errors.New("the name of an app_secret must be 1 to 64 letters, digits, dots, hyphens or underscores")
	}
	if secretcheck.Describe(strings.ToLower(name)) == "" {
		return errors.New("the name of an app_secret looks like a secret: the name comes first")
	}
	return nil
}

// ValidateUnnamed returns an error for the only argument of an app_secret in a Caddyfile if it
// may be a name: Caddy drops an argument whose {$NAME} is empty, and what remains must not
// become the key. Its errors never repeat the argument, which may be a secret after all.
func ValidateUnnamed(arg string) error {
	if ValidateName(arg) != nil { // a placeholder, or what may be a secret of Meta's
		return nil
	}
	return errors.New("the only argument of app_secret may be a name whose secret is missing: write both, as in " +
		"app_secret meta {env.META_APP_SECRET}. Only a secret of 32 hexadecimal digits, or a placeholder, can do without a name")
}

// Sign returns the HMAC-SHA256 of body under this secret.
func (s *Secret) Sign(body []byte) [sha256.Size]byte {
	m := s.macs.Get().(*mac)
	m.Reset()
	m.Write(body)
	m.Sum(m.sum[:0])
	sum := m.sum
	s.macs.Put(m)
	return sum
}
