package check

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// routesOf is what is read of a config to follow a delivery through it.
type routesOf struct {
	Admin *caddy.AdminConfig `json:"admin"`
	Apps  struct {
		HTTP struct {
			Servers map[string]struct {
				Routes      caddyhttp.RouteList         `json:"routes"`
				NamedRoutes map[string]*caddyhttp.Route `json:"named_routes"`
			} `json:"servers"`
		} `json:"http"`
	} `json:"apps"`
}

// follow finds out which handlers take deliveries to the callback URL. If no
// webhook fits the URL, it follows all routes.
func (s *setup) follow(config []byte, r *http.Request) {
	var all routesOf
	if json.Unmarshal(config, &all) != nil {
		return // Caddy will complain about it
	}
	s.admin = caddy.DefaultAdminListen
	if all.Admin != nil {
		s.adminOff = all.Admin.Disabled
		if all.Admin.Listen != "" {
			s.admin = caddy.NewReplacer().ReplaceKnown(all.Admin.Listen, "")
		}
	}
	anywhere := !slices.ContainsFunc(s.webhooks, func(w webhook) bool { return w.host && w.path })
	for _, server := range all.Apps.HTTP.Servers {
		f := follower{setup: s, r: r, named: server.NamedRoutes, anywhere: anywhere}
		f.routes(server.Routes, progress{})
	}
}

// follower goes through the routes of a server as a delivery does.
type follower struct {
	*setup
	r        *http.Request
	named    map[string]*caddyhttp.Route
	anywhere bool // whatever the routes match
	depth    int
}

// progress is what has happened to a delivery before a route.
type progress struct {
	authentic bool // it went through instagram_webhook
	rewritten bool // its path is another one than the callback URL's
	ended     bool // nothing that follows runs
}

func (p progress) or(q progress) progress {
	return progress{p.authentic || q.authentic, p.rewritten || q.rewritten, p.ended || q.ended}
}

// routes follows a list of routes, of which only one in each group runs.
func (f *follower) routes(routes caddyhttp.RouteList, at progress) progress {
	before, taken := map[string]progress{}, map[string]bool{}
	for _, route := range routes {
		fits, surely := f.matches(&route, at)
		if !fits || route.Group != "" && taken[route.Group] {
			continue
		}
		start := at
		if route.Group != "" {
			if first, met := before[route.Group]; met {
				start = first
			}
			before[route.Group], taken[route.Group] = start, surely
		}
		after := f.handlers(route.HandlersRaw, start)
		after.ended = surely && (after.ended || route.Terminal)
		if at = at.or(after); at.ended {
			break
		}
	}
	return at
}

// matches reports whether a delivery can match a route, and whether it is certain
// to.
func (f *follower) matches(route *caddyhttp.Route, at progress) (fits, surely bool) {
	surely = true
	for _, set := range route.MatcherSetsRaw {
		for name := range set {
			surely = surely && (name == "host" || name == "path")
		}
	}
	if f.anywhere || route.MatcherSetsRaw == nil {
		return true, surely && !f.anywhere
	}
	sets := any(route.MatcherSetsRaw)
	fits = matchersFit[caddyhttp.MatchHost](sets, "host", f.r) && (at.rewritten || matchersFit[caddyhttp.MatchPath](sets, "path", f.r))
	return fits, surely && !at.rewritten
}

// handlers follows the handlers of a route.
func (f *follower) handlers(handlers []json.RawMessage, at progress) progress {
	const maxDepth = 64 // a named route may invoke itself
	if f.depth++; f.depth > maxDepth {
		return at
	}
	defer func() { f.depth-- }()
	for _, raw := range handlers {
		var h struct {
			Handler   string              `json:"handler"`
			Name      string              `json:"name"`
			Routes    caddyhttp.RouteList `json:"routes"`
			Consumers []struct {
				Routes caddyhttp.RouteList `json:"routes"`
			} `json:"consumers"`
			Upstreams []struct {
				Dial string `json:"dial"`
			} `json:"upstreams"`
			DynamicUpstreams json.RawMessage `json:"dynamic_upstreams"`
			Transport        struct {
				Protocol string            `json:"protocol"`
				Env      map[string]string `json:"env"`
			} `json:"transport"`
		}
		if at.ended || json.Unmarshal(raw, &h) != nil {
			continue
		}
		switch h.Handler {
		case "instagram_webhook":
			at.authentic = true
		case "instagram_queue":
			f.queued = f.queued || at.authentic
			f.routes(h.Routes, at)
			for _, consumer := range h.Consumers {
				f.routes(consumer.Routes, at)
			}
			at.ended = true
		case "subroute":
			at = at.or(f.routes(h.Routes, at))
		case "invoke":
			if route := f.named[h.Name]; route != nil {
				at = at.or(f.routes(caddyhttp.RouteList{*route}, at))
			}
		case "rewrite":
			at.rewritten = true
		case "reverse_proxy":
			if at.authentic && h.Transport.Protocol == "fastcgi" {
				var upstreams []string
				for _, upstream := range h.Upstreams {
					upstreams = append(upstreams, upstream.Dial)
				}
				if h.DynamicUpstreams != nil {
					upstreams = append(upstreams, "dynamic upstreams")
				}
				f.php(upstreams, h.Transport.Env["PHP_ADMIN_VALUE"])
			}
		}
	}
	return at
}

// php notes how PHP behind a FastCGI transport answers to an error.
func (f *follower) php(upstreams []string, settings string) {
	f.fastCGI++
	switch {
	case !hidesErrors(settings):
		f.showsErrors = append(f.showsErrors, upstreams...)
	case !buffersOutput(settings):
		f.unbuffered = append(f.unbuffered, upstreams...)
	}
}

// hidesErrors reports whether PHP is told not to show errors, so that nothing
// can tell it otherwise: neither php.ini nor the pool nor the script.
func hidesErrors(settings string) bool {
	value, found := settingOfPHP(settings, "display_errors")
	return found && slices.Contains([]string{"", "0", "off", "no", "false", "none"}, value)
}

// buffersOutput reports whether PHP is told to hold its output back, of whatever
// size its buffer is.
func buffersOutput(settings string) bool {
	value, _ := settingOfPHP(settings, "output_buffering")
	size, err := strconv.ParseInt(strings.TrimRight(value, "kmg"), 10, 64)
	return err == nil && size != 0 || slices.Contains([]string{"on", "yes", "true"}, value)
}

// settingOfPHP returns a setting among those in PHP_ADMIN_VALUE, in lower case.
// Of several the last one holds.
func settingOfPHP(settings, name string) (value string, found bool) {
	for line := range strings.Lines(settings) {
		key, v, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == name {
			value, found = strings.ToLower(strings.Trim(strings.TrimSpace(v), `"'`)), true
		}
	}
	return value, found
}
