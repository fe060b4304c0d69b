package app

import (
	"context"
	"slices"
	"time"

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

// Deauthorized makes sure that it is noted, if the account is looked after, that its owner
// removed the app, and when that was. Once it returns nil, neither a reload nor the end of the
// process undoes that. It does nothing for a nil App.
func (a *App) Deauthorized(ctx context.Context, user string, issued time.Time) error {
	if a == nil {
		return nil
	}
	for _, service := range a.services {
		if s, ok := service.(*account.Service); ok {
			_, err := s.Deauthorized(ctx, user, issued)
			return err
		}
	}
	return nil
}

// A Refuser knows whether deliveries are refused just now, as they cannot be stored: a webhook
// from the last one that came, and the store of a queue even before the first.
type Refuser interface{ Refusing() bool }

// refusing reports whether deliveries are refused just now.
func (a *App) refusing() bool { return slices.ContainsFunc(a.refusers, Refuser.Refusing) }
