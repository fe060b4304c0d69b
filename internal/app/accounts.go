package app

import (
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/alert"
)

// provisionAccounts prepares the service that looks after accounts, if there are any.
func (a *App) provisionAccounts(ctx caddy.Context) error {
	if len(a.Accounts) == 0 {
		return nil
	}
	s, err := account.New(ctx, account.Config{Accounts: a.Accounts, TokenKey: a.TokenKey, Refusing: a.refusing, Alert: alert.Shared.Raise})
	if err != nil {
		return err
	}
	a.Register(s)
	return nil
}

// HasAccounts reports whether accounts are looked after, so that it is remembered when
// their events come. It is false for a nil App.
func (a *App) HasAccounts() bool { return a != nil && len(a.Accounts) > 0 }

// A refuser is a service that knows whether it refuses deliveries.
type refuser interface{ Refusing() bool }

// refusing reports whether a service refuses deliveries just now.
func (a *App) refusing() bool {
	return slices.ContainsFunc(a.services, func(s Service) bool {
		r, ok := s.(refuser)
		return ok && r.Refusing()
	})
}
