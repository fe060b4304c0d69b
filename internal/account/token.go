package account

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// tokenState is what is known of the token in use.
type tokenState struct {
	Fingerprint string `json:"fingerprint,omitempty"`

	// Since is when the token was made, as far as that is known: when it was imported,
	// renewed or written to its file, or else first seen.
	Since time.Time `json:"since,omitzero"`

	// Expires is when it ends; zero if it never does, or nobody knows. Exact is set if
	// Meta has said so.
	Expires time.Time `json:"expires,omitzero"`
	Exact   bool      `json:"exact,omitempty"`

	Owned   bool      `json:"owned,omitempty"`   // it was found to be the account's
	Tried   time.Time `json:"tried,omitzero"`    // when it was last to be renewed
	Failure string    `json:"failure,omitempty"` // why it was not
	Dead    string    `json:"dead,omitempty"`    // why nothing is asked with it any more
}

const day = 24 * time.Hour

// When tokens are renewed and told of. Renewals are said to fail in masses a week before
// the end, so they begin early.
const (
	renewMinAge  = day // younger ones are refused
	renewAge     = 7 * day
	renewUrgent  = 20 * day // before the end, it is tried daily
	warnTokenEnd = 10 * day
)

// renewalDue reports whether the token is to be renewed now.
func (t *tokenState) renewalDue(now time.Time) bool {
	age := now.Sub(t.Since)
	if age < renewMinAge || now.Sub(t.Tried) < day {
		return false
	}
	return !t.Exact || age >= renewAge || t.Expires.Sub(now) < renewUrgent
}

// ends reports whether the token ends soon.
func (t *tokenState) ends(now time.Time) bool {
	return !t.Expires.IsZero() && t.Expires.Sub(now) < warnTokenEnd
}

// stored is a token in Caddy's storage.
type stored struct {
	Token   string    `json:"token"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires,omitzero"`
}

// vault keeps managed tokens in Caddy's storage, encrypted.
type vault struct {
	store
	aead cipher.AEAD
}

// What the key of the vault must have at least.
const (
	minKeyLength     = 32
	minKeyCharacters = 10 // different ones
)

// newVault derives the key of the vault from the configured one, a placeholder.
func newVault(s store, configured string) (*vault, error) {
	if !placeholder.IsSingle(configured) {
		return nil, errors.New("token_key must be {env.NAME} or {file.PATH}, so that it does not stand in the config")
	}
	key, err := placeholder.Resolve(configured)
	if err != nil {
		return nil, fmt.Errorf("token_key: %w", err)
	}
	different := make(map[byte]bool)
	for i := range len(key) {
		different[key[i]] = true
	}
	if problem := secretcheck.Mangled(key); problem != "" {
		return nil, fmt.Errorf("token_key: %s", problem)
	}
	if len(key) < minKeyLength || len(different) < minKeyCharacters {
		return nil, fmt.Errorf("token_key is too weak: it needs at least %d random characters, such as the output of 'openssl rand -base64 32'", minKeyLength)
	}
	derived, err := hkdf.Key(sha256.New, []byte(key), nil, "caddy-instagram account tokens", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &vault{s, aead}, err
}

func tokenKey(id string) string { return "instagram/accounts/" + id + ".token" }

// asideKey is beside it: where a new token is until it has its place.
func asideKey(id string) string { return tokenKey(id) + ".new" }

// errNoToken is why nothing is asked of an account whose token was not imported yet.
var errNoToken = errors.New("there is no token yet: import one with 'caddy instagram token import'")

// errUnreadable is wrapped by the error for a token that cannot be decrypted.
var errUnreadable = errors.New("it was stored with another token_key, or is damaged: set the token_key that it was stored with, or import a token")

// load returns the token of an account. After a crash, the one that is beside its place
// may be all there is: it is never older.
func (v *vault) load(ctx context.Context, id string) (stored, error) {
	t, err := v.open(ctx, id, tokenKey(id))
	if err == nil {
		return t, nil
	}
	if t, aside := v.open(ctx, id, asideKey(id)); aside == nil {
		return t, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoToken
	}
	return stored{}, err
}

// open reads a token. Its account is bound to it: a token that was moved to the place of
// another account is not read.
func (v *vault) open(ctx context.Context, id, key string) (t stored, err error) {
	sealed, err := v.Load(ctx, key)
	if err != nil {
		return t, fmt.Errorf("loading the token of the account %s: %w", id, err)
	}
	text, err := v.aead.Open(nil, nil, sealed, []byte(id))
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil || t.Token == "" {
		return stored{}, fmt.Errorf("the stored token of the account %s cannot be read: %w", id, errUnreadable)
	}
	return t, nil
}

// replace stores a token, and forgets the one before only then: until the new one is
// where it belongs, it is beside it.
func (v *vault) replace(ctx context.Context, id string, t stored) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := v.restore(ctx, id); err != nil {
		return err
	}
	sealed := v.aead.Seal(nil, nil, text, []byte(id))
	for _, key := range []string{asideKey(id), tokenKey(id)} {
		if err := v.put(ctx, id, key, sealed); err != nil {
			return err
		}
	}
	return v.Delete(ctx, asideKey(id))
}

// restore brings the token that is beside its place to it, if it is all there is.
func (v *vault) restore(ctx context.Context, id string) error {
	if _, err := v.open(ctx, id, tokenKey(id)); err == nil {
		return nil
	}
	if _, err := v.open(ctx, id, asideKey(id)); err != nil {
		return nil // there is nothing to lose
	}
	sealed, err := v.Load(ctx, asideKey(id))
	if err != nil {
		return fmt.Errorf("loading the token of the account %s: %w", id, err)
	}
	return v.put(ctx, id, tokenKey(id), sealed)
}

// put stores an encrypted token, and reads it back.
func (v *vault) put(ctx context.Context, id, key string, sealed []byte) error {
	err := v.Store(ctx, key, sealed)
	if err == nil {
		var back []byte
		if back, err = v.Load(ctx, key); err == nil && !bytes.Equal(back, sealed) {
			err = errors.New("it does not read back")
		}
	}
	if err != nil {
		return fmt.Errorf("storing the token of the account %s: %w", id, err)
	}
	return nil
}

// token returns the token of an account, with what is known of its age. What can be read
// anew is: a file may hold another one by now.
func (s *Service) token(ctx context.Context, a *Account) (stored, error) {
	if a.managed() {
		return s.vault.load(ctx, a.ID)
	}
	text, err := placeholder.Resolve(a.Token)
	if err != nil {
		return stored{}, err
	}
	t := stored{Token: text, Since: time.Now().UTC()}
	if path, isFile := strings.CutPrefix(strings.TrimSuffix(a.Token, "}"), "{file."); isFile {
		if info, err := os.Stat(path); err == nil && info.ModTime().Before(t.Since) {
			t.Since = info.ModTime().UTC()
		}
	}
	return t, nil
}

// use makes a token the one in use. Of another one than before, nothing is known.
func (r *record) use(a *Account, t stored) {
	if r.Token.Fingerprint == fingerprint(t.Token) {
		return
	}
	r.adopt(a, t)
	if r.Revoked != r.Token.Fingerprint {
		r.Deauthorized, r.Revoked = time.Time{}, ""
	}
}

// adopt makes a token the one in use that was just read, or renewed. That one may be the same
// text with a later end.
func (r *record) adopt(a *Account, t stored) {
	r.Token = tokenState{Fingerprint: fingerprint(t.Token), Since: t.Since, Expires: t.Expires, Exact: !t.Expires.IsZero()}
	if t.Expires.IsZero() && !a.login().Debugs() {
		r.Token.Expires = t.Since.Add(graph.TokenLife) // at the latest
	}
}
