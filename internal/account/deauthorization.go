package account

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// deauthorization tells that the owner of an account took the app's rights away.
//
// Meta tells of it once. The state may belong to another gateway just then, so it is stored
// under a key of its own before Meta gets its answer, and moved to the state by the next
// round of any gateway.
type deauthorization struct {
	account string
	issued  int64 // in seconds of Unix time
}

// deauthorizedKey is below which they are in Caddy's storage.
const deauthorizedKey = "instagram/accounts/deauthorized"

// deauthorizeTimeout bounds how long the storage may take: Meta waits for five seconds.
const deauthorizeTimeout = 3 * time.Second

func (d deauthorization) key() string {
	return path.Join(deauthorizedKey, d.account+"."+strconv.FormatInt(d.issued, 10))
}

// Deauthorized makes sure that it will be noted that the owner of an account took the app's
// rights away: until there is a new token, its subscription is not repaired. user is the
// account, or the id that the app alone knows it by, and issued is when that was. It reports
// whether there is such an account with a token from before that.
func (s *Service) Deauthorized(ctx context.Context, user string, issued time.Time) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, deauthorizeTimeout)
	defer cancel()
	st, err := s.load(ctx)
	if err != nil {
		return false, err
	}
	for _, a := range s.accounts {
		r := st.of(a)
		if user == "" || user != a.ID && user != r.Scoped && user != r.Linked || !r.deauthorizedBy(issued) {
			continue
		}
		found = true
		if !r.Deauthorized.IsZero() {
			continue
		}
		d := deauthorization{a.ID, issued.Unix()}
		if err := s.store.Store(ctx, d.key(), []byte(issued.UTC().Format(time.RFC3339))); err != nil {
			return found, fmt.Errorf("storing the deauthorization of an account: %w", err)
		}
		s.hurry()
	}
	return found, nil
}

// deauthorizedBy reports whether the token is from before a deauthorization.
func (r *record) deauthorizedBy(issued time.Time) bool {
	return r.Token.Since.Sub(issued) <= maxClockSkew
}

// deauthorizations returns those that may not be in the state yet.
func (s store) deauthorizations(ctx context.Context) (all []deauthorization, err error) {
	keys, err := s.List(ctx, deauthorizedKey, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the deauthorizations of accounts: %w", err)
	}
	for _, key := range keys {
		account, issued, found := strings.Cut(path.Base(key), ".")
		if seconds, err := strconv.ParseInt(issued, 10, 64); found && err == nil {
			all = append(all, deauthorization{account, seconds})
		}
	}
	return all, nil
}

// deauthorize notes deauthorizations, unless there is a newer token.
func (st *state) deauthorize(all []deauthorization) {
	for _, d := range all {
		r := st.Accounts[d.account]
		if r != nil && r.Deauthorized.IsZero() && r.deauthorizedBy(time.Unix(d.issued, 0)) {
			r.Deauthorized, r.Revoked = time.Now().UTC(), r.Token.Fingerprint
			r.checkSoon(r.Deauthorized)
		}
	}
}

// dropNoted deletes deauthorizations that the stored state has. One that cannot be deleted is
// noted again by the next round, which changes nothing.
func (s store) dropNoted(ctx context.Context, all []deauthorization, st *state) {
	for _, d := range all {
		if st.Accounts[d.account] != nil {
			_ = s.Delete(ctx, d.key())
		}
	}
}
