package app

import (
	"context"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

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

// Deauthorized tells the service that looks after accounts, if there is one, that the owner
// of an account removed the app. It waits for nothing, and does nothing for a nil App.
func (a *App) Deauthorized(user string) {
	if a == nil {
		return
	}
	for _, service := range a.services {
		if s, ok := service.(*account.Service); ok {
			go a.deauthorize(s, user)
		}
	}
}

// deauthorizeTimeout is how long other gateways may keep the accounts to themselves.
const deauthorizeTimeout = 5 * time.Minute

func (a *App) deauthorize(s *account.Service, user string) {
	ctx, cancel := context.WithTimeout(a.ctx, deauthorizeTimeout)
	defer cancel()
	if _, err := s.Deauthorized(ctx, user); err != nil {
		a.ctx.Logger().Error("an account was deauthorized, which could not be noted: its subscription may be repaired in vain", zap.Error(err))
	}
}

// A refuser is a service that knows whether it refuses deliveries.
type refuser interface{ Refusing() bool }

// refusing reports whether a service refuses deliveries just now.
func (a *App) refusing() bool {
	return slices.ContainsFunc(a.services, func(s Service) bool {
		r, ok := s.(refuser)
		return ok && r.Refusing()
	})
}
