// Package app holds the app that starts and stops what outlives a request.
package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/alert"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App runs the services of this plugin's handlers, such as the delivery of queued
// events, and checks the config as a whole once it is known. It need not be
// configured: the handlers load it.
type App struct {
	// Accounts are the accounts whose access tokens, subscriptions and silence are
	// looked after.
	Accounts []*account.Account `json:"accounts,omitempty"`

	// TokenKey is what managed access tokens are encrypted with in Caddy's storage: at
	// least 32 random characters, as a placeholder such as `{env.IG_TOKEN_KEY}`. All
	// gateways that share the storage need the same.
	TokenKey string `json:"token_key,omitempty"`

	// Alerts are who is told when something needs attention: deliveries that are refused
	// or fail for minutes, dead letters, events that wait for too long, and certificates,
	// tokens and subscriptions that end. Each cause is told of once an hour at most, and
	// once more when it is over. The same alerts are events of Caddy's `events` app, by
	// names such as `instagram.refusing`.
	Alerts []*AlertReceiver `json:"alerts,omitempty"`

	ctx       caddy.Context
	services  []Service
	refusers  []Refuser
	receivers []*alert.Receiver
	cas       []*x509.Certificate
	stopCAs   context.CancelFunc
	watching  sync.WaitGroup
	started   int
	examined  bool
	webhooks  int

	mu     sync.Mutex
	warned map[string]bool
}

// An examination warns of what is wrong with a config as a whole. Examinations are
// registered, because packages that know all modules cannot be imported here: the
// modules import this package.
var examinations []func(ctx caddy.Context, a *App)

// RegisterExamination has examine called for each config. It must be called in
// init. The app named http may be missing from a config.
func RegisterExamination(examine func(ctx caddy.Context, a *App)) {
	examinations = append(examinations, examine)
}

// Service is something that runs as long as a config does.
type Service interface {
	// Start is called when the config starts, while an older one may still
	// run. It is never called for a config that is only validated.
	Start() error

	// Stop is called when the config ends, if Start succeeded. It returns when
	// the service needs nothing of its config any more.
	Stop() error
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "instagram",
		New: func() caddy.Module { return new(App) },
	}
}

// Of returns the app of the config that is being loaded, for use in Provision.
func Of(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("instagram")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// OfServer returns the app of the config that is being loaded, for use in the
// Provision of a module that is part of an HTTP server; nil if it is not.
func OfServer(ctx caddy.Context) (*App, error) {
	for _, parent := range ctx.Modules() {
		if _, ok := parent.(*caddyhttp.App); ok {
			return Of(ctx)
		}
	}
	return nil, nil
}

// Provision prepares the receivers of alerts and the service that looks after accounts, and
// keeps the context for the examinations.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	if err := a.provisionAlerts(ctx); err != nil {
		return err
	}
	return a.provisionAccounts(ctx)
}

// Once reports whether it is called with this text for the first time, so that a
// piece of config that stands in several sites is warned of once. It is always true
// for a nil App.
func (a *App) Once(text string) bool {
	if a == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	first := !a.warned[text]
	if a.warned == nil {
		a.warned = make(map[string]bool)
	}
	a.warned[text] = true
	return first
}

// AddWebhook adds an instagram_webhook of the config. It must be called in
// Provision, and does nothing for a nil App.
func (a *App) AddWebhook(w Refuser) {
	if a != nil {
		a.webhooks++
		a.refusers = append(a.refusers, w)
	}
}

// Webhooks returns how many instagram_webhooks the config has, those that an
// examination cannot find included: inside handlers of other plugins.
func (a *App) Webhooks() int { return a.webhooks }

// examine runs the examinations, once.
func (a *App) examine() {
	if a.examined || a.ctx.Context == nil {
		return
	}
	a.examined = true
	for _, e := range examinations {
		e(a.ctx, a)
	}
}

// Register adds a service, which may be a Refuser too. It must be called in Provision.
func (a *App) Register(s Service) {
	a.services = append(a.services, s)
	if r, ok := s.(Refuser); ok {
		a.refusers = append(a.refusers, r)
	}
}

// Services returns the services that were registered, in order.
func (a *App) Services() []Service { return a.services }

// Start starts the services, in order. If one fails, those before it are
// stopped.
func (a *App) Start() error {
	alert.Shared.Start(a.receivers)
	a.startCAs()
	for _, s := range a.services {
		if err := s.Start(); err != nil {
			return errors.Join(err, a.Stop())
		}
		a.started++
	}
	a.examine()
	return nil
}

// Cleanup examines a config that was never started: one that is only validated.
func (a *App) Cleanup() error {
	a.examine()
	return nil
}

// Stop stops the services at the same time and waits for all of them.
func (a *App) Stop() error {
	stopped := make(chan error)
	for _, s := range a.services[:a.started] {
		go func() { stopped <- s.Stop() }()
	}
	var errs []error
	for range a.started {
		if err := <-stopped; err != nil {
			errs = append(errs, fmt.Errorf("stopping: %w", err))
		}
	}
	a.started = 0
	a.endCAs()
	alert.Shared.Stop(a.receivers)
	return errors.Join(errs...)
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
