// Package site knows which handlers the running config has, and at which URLs.
package site

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/loopback"
	"github.com/caddy-instagram/webhooks/queue"
)

// Check finds out what is wrong with a callback URL of the running config. It is set by the
// package of the checks, which imports those that make use of it.
var Check func(ctx context.Context, url string) (report any, err error)

// Webhook is an instagram_webhook of the running config.
type Webhook struct {
	*handler.Handler

	// URLs are where it probably answers, as far as the matchers of hosts and paths tell.
	URLs []string
}

// Webhooks returns those of the running config.
func Webhooks() (all []Webhook) {
	Visit(func(h caddyhttp.MiddlewareHandler, urls []string) {
		if h, ok := h.(*handler.Handler); ok {
			all = append(all, Webhook{h, urls})
		}
	})
	return all
}

// Visit calls visit for each handler of the running config, with the URLs that lead there.
// It does not know what is inside of handlers of other plugins.
func Visit(visit func(h caddyhttp.MiddlewareHandler, urls []string)) {
	app, err := caddy.ActiveContext().AppIfConfigured("http")
	if err != nil {
		return // there is none
	}
	visitApp(app.(*caddyhttp.App), visit)
}

func visitApp(app *caddyhttp.App, visit func(h caddyhttp.MiddlewareHandler, urls []string)) {
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		w := walk{server: app.Servers[name], origin: originOf(app, app.Servers[name]), visit: visit}
		w.routes(w.server.Routes, Place{Hosts: []string{"localhost"}, Paths: []string{"/"}})
	}
}

// walk goes through the routes of a server.
type walk struct {
	server *caddyhttp.Server
	origin func(host string) string
	visit  func(h caddyhttp.MiddlewareHandler, urls []string)
	depth  int
}

// originOf returns what the URLs of a server begin with. Meta calls nothing but https, so
// where TLS does not end in a server with a name, it ends in front of it.
func originOf(app *caddyhttp.App, server *caddyhttp.Server) func(host string) string {
	var port uint
	if len(server.Listen) > 0 {
		if address, err := caddy.ParseNetworkAddress(server.Listen[0]); err == nil {
			port = address.StartPort
		}
	}
	secure := len(server.TLSConnPolicies) > 0
	return func(host string) string {
		scheme, usual := "https://", uint(443)
		isLocal := loopback.Is(host)
		switch {
		case !secure && isLocal:
			scheme, usual = "http://", 80
		case !secure, !isLocal && port == uint(app.HTTPSPort): // https_port: others see 443
			return scheme + bracketed(host)
		}
		if port == usual {
			return scheme + bracketed(host)
		}
		return scheme + net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// maxDepth bounds how deep routes are followed: a named route may invoke itself.
const maxDepth = 64

func (w *walk) routes(routes caddyhttp.RouteList, at Place) {
	if w.depth++; w.depth < maxDepth {
		for i := range routes {
			here := at.behindSets(routes[i].MatcherSets)
			for _, h := range routes[i].Handlers {
				w.handler(h, here)
			}
		}
	}
	w.depth--
}

func (w *walk) handler(h caddyhttp.MiddlewareHandler, at Place) {
	w.visit(h, at.urls(w.origin))
	switch h := h.(type) {
	case *caddyhttp.Subroute:
		w.routes(h.Routes, at)
	case *caddyhttp.Invoke:
		if route := w.server.NamedRoutes[h.Name]; route != nil {
			w.routes(caddyhttp.RouteList{*route}, at)
		}
	case *queue.Handler:
		for i := range h.Consumers {
			w.routes(h.Consumers[i].Routes, at)
		}
	}
}

// Place is what the requests that come to a handler have in common, as far as the matchers
// of hosts and paths before it tell. There is at least one of each.
type Place struct{ Hosts, Paths []string }

// behindSets returns the place behind matchers.
func (p Place) behindSets(sets caddyhttp.MatcherSets) Place {
	var hosts, paths []string
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				hosts = append(hosts, *m...)
			case *caddyhttp.MatchPath:
				paths = append(paths, *m...)
			}
		}
	}
	return p.Behind(hosts, paths)
}

// Behind returns the place behind matchers of hosts and of paths. What is no plain host or
// path stays out.
func (p Place) Behind(hosts, paths []string) Place {
	odd := func(text string) bool { return strings.ContainsAny(text, "*{") }
	var below []string
	for _, path := range paths {
		if path = strings.TrimSuffix(path, "*"); !odd(path) {
			below = append(below, p.path(path))
		}
	}
	if hosts = slices.DeleteFunc(slices.Clone(hosts), odd); len(hosts) > 0 {
		p.Hosts = hosts
	}
	if len(below) > 0 {
		p.Paths = below
	}
	return p
}

// path returns a path behind one that was matched before: if it is not below that,
// handle_path has removed that.
func (p Place) path(path string) string {
	if before := p.Paths[0]; before != "/" && !strings.HasPrefix(path, before) {
		return strings.TrimSuffix(before, "/") + path
	}
	return path
}

// maxURLs is how many URLs of a handler are told.
const maxURLs = 16

func (p Place) urls(origin func(host string) string) (all []string) {
	for _, host := range p.Hosts {
		for _, path := range p.Paths {
			if len(all) < maxURLs {
				all = append(all, origin(host)+path)
			}
		}
	}
	return all
}
