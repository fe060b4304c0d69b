package admin

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// AccountStatus is how an account is doing that is looked after.
type AccountStatus = account.Status

// accounts shows how the accounts of the running config are doing.
func accounts(r *request) (any, error) {
	s := account.Running()
	if s == nil {
		return []AccountStatus{}, nil
	}
	return s.Statuses(r.Context())
}

// checkAccounts has the accounts looked at now, and shows how they are doing then.
func checkAccounts(r *request) (any, error) {
	if s := account.Running(); s != nil {
		if err := s.Check(r.Context()); err != nil {
			return nil, reject(http.StatusServiceUnavailable, "%w", err)
		}
	}
	return accounts(r)
}

// maxToken is the length of the longest access token, in bytes.
const maxToken = 4096

// importToken makes the body of a request the access token of an account.
func importToken(r *request) (any, error) {
	s := account.Running()
	if s == nil {
		return nil, reject(http.StatusNotFound, "the running config looks after no account")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxToken+1))
	token := strings.TrimSpace(string(text))
	if err != nil || token == "" || len(text) > maxToken {
		return nil, badRequest("the body must be an access token")
	}
	err = s.Import(r.Context(), r.PathValue("account"), graph.Secret(token))
	refused, isRefusal := errors.AsType[*graph.Error](err)
	switch {
	case errors.Is(err, account.ErrNotManaged):
		return nil, reject(http.StatusNotFound, "%w", err)
	case errors.Is(err, account.ErrOtherAccount):
		return nil, reject(http.StatusConflict, "%w", err)
	case isRefusal:
		return nil, reject(http.StatusUnprocessableEntity, "Meta refused the token: %w. %s", refused, refused.Advice())
	}
	return nil, err
}
