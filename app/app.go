// Package app holds the app that starts and stops what outlives a request.
package app

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App starts and stops what works for the handlers of this plugin beside
// requests, such as the delivery of queued events. It has no options and need
// not be configured: the handlers load it.
type App struct {
	services []Service
	started  int
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

// Register adds a service. It must be called in Provision.
func (a *App) Register(s Service) { a.services = append(a.services, s) }

// Services returns the services that were registered, in order.
func (a *App) Services() []Service { return a.services }

// Start starts the services, in order. If one fails, those before it are
// stopped.
func (a *App) Start() error {
	for _, s := range a.services {
		if err := s.Start(); err != nil {
			return errors.Join(err, a.Stop())
		}
		a.started++
	}
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
	return errors.Join(errs...)
}

// Interface guards
var _ caddy.App = (*App)(nil)
