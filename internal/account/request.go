package account

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// Deauthorized records that the owner of an account took the app's rights away: until
// there is a new token, its subscription is not repaired. user is the account, or the id
// that the app alone knows it by, and issued is when that was. It reports whether there is
// such an account with a token from before that, and may wait for other gateways for more
// than a minute.
func (s *Service) Deauthorized(ctx context.Context, user string, issued time.Time) (found bool, err error) {
	err = s.whenFree(ctx, func(st *state) []alert.Alert {
		for _, a := range s.accounts {
			r := st.of(a)
			if user != "" && (user == a.ID || user == r.Scoped || user == r.Linked) && r.Token.Since.Sub(issued) <= maxClockSkew {
				r.Deauthorized, r.Revoked, found = time.Now().UTC(), r.Token.Fingerprint, true
				r.checkSoon(r.Deauthorized)
			}
		}
		return nil
	})
	return found, err
}

// ErrNotManaged is wrapped by the error for an account whose token cannot be imported.
var ErrNotManaged = errors.New("the config has no account with this id and 'token managed'")

// Import makes a token that of an account, after Meta was asked whose it is. The account
// is checked at once.
func (s *Service) Import(ctx context.Context, id string, token graph.Secret) error {
	i := slices.IndexFunc(s.accounts, func(a *Account) bool { return a.ID == id && a.managed() })
	if i < 0 {
		return ErrNotManaged
	}
	a := s.accounts[i]
	client := a.client(token)
	client.HTTP = &http.Client{Timeout: 30 * time.Second, Transport: &spaced{s.limiter, s.transport, nil}}
	owner, err := client.Me(ctx)
	if err != nil {
		return err
	}
	if a.login() != graph.UnifiedLogin { // whose tokens do not tell
		if err := a.owns(owner); err != nil {
			return err
		}
	}
	failed := error(nil)
	err = s.whenFree(ctx, func(st *state) []alert.Alert {
		now := time.Now().UTC()
		t := stored{Token: string(token), Since: now}
		if failed = s.vault.replace(ctx, id, t); failed != nil {
			return nil
		}
		r := st.of(a)
		r.Token = tokenState{}
		r.use(a, t)
		r.NextCheck = now
		return nil
	})
	if err = errors.Join(failed, err); err == nil {
		s.hurry()
	}
	return err
}

// hurry has the next round begin now.
func (s *Service) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
