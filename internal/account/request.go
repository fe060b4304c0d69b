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
