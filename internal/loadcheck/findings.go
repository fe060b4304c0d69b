package loadcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/handler"
	internalqueue "github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/queue"
)

// find adds a finding, once.
func (w *walk) find(here flow, unauthenticated bool, format string, args ...any) {
	f := finding{fmt.Sprintf(format, args...), w.name, strings.Join(here.route, " "), unauthenticated}
	if !slices.Contains(w.findings, f) {
		w.findings = append(w.findings, f)
	}
}

// webhook checks a webhook and what surrounds it.
func (w *walk) webhook(h *handler.Handler, here flow) {
	w.webhooks[h] = true
	w.paths = append(w.paths, here.paths)
	if !here.taken {
		w.find(here, false, "nothing behind instagram_webhook takes deliveries, so they are answered with 503: put "+
			"instagram_queue, instagram_file, reverse_proxy, php_fastcgi or respond after it")
	}
	if h.ClientCert != nil && !w.asksForCertificates() {
		w.find(here, false, "client_cert demands a client certificate, but no TLS policy of this server asks for one, "+
			"so all deliveries are refused: put client_auth { mode request } into the tls directive of the site, and "+
			"let TLS end in Caddy")
	}
	if here.hidden != keeps {
		w.find(here, false, "an intercept around instagram_webhook %s failures with success, so that Meta takes what "+
			"was refused or lost for delivered: keep the status, by replace_status or {http.intercept.status_code}, or "+
			"leave the callback URL out", here.hidden)
	}
	if here.limit > 0 && here.limit < h.MaxSize {
		w.find(here, false, "request_body lets %s of a delivery through, less than max_size of instagram_webhook: what "+
			"is larger is refused. Raise it, or lower max_size to it if this is meant", humanize.IBytes(uint64(here.limit)))
	}
}

// fullDuplex warns of a server with a webhook that takes what nobody has read of a large body for the next request of
// the connection, as Caddy v2.11 does then: who sends that through a proxy has it answered in the place of a delivery.
func (w *walk) fullDuplex() {
	if w.server.EnableFullDuplex && len(w.webhooks) > 0 {
		w.find(flow{}, false, "enable_full_duplex has this server take the unread rest of a body for another request: behind "+
			"a proxy or load balancer, anybody can so have a delivery answered with what is for another request, and lost. "+
			"Leave it off, or give the callback URL a port of its own")
	}
}

// asksForCertificates reports whether some TLS connections of the server ask for a client certificate.
func (w *walk) asksForCertificates() bool {
	return slices.ContainsFunc(w.server.TLSConnPolicies, func(policy *caddytls.ConnectionPolicy) bool {
		return policy.ClientAuthentication != nil && policy.ClientAuthentication.Active()
	})
}

// matchers checks the matchers of a route.
func (w *walk) matchers(route *caddyhttp.Route, here flow) {
	if !here.authentic && hasMatcher(route.MatcherSets, matchesEvents) {
		w.find(here, true, "the matcher instagram never matches here, as no request was authenticated: "+
			"instagram_webhook must come before it")
	}
}

// signedRequest checks that something takes the events of an instagram_signed_request, and that no deliveries come to it,
// as it takes forms only.
func (w *walk) signedRequest(here flow) {
	if !here.taken {
		w.find(here, false, "nothing behind instagram_signed_request takes its events, so Meta's requests are answered with "+
			"503: put instagram_queue, instagram_file, reverse_proxy, php_fastcgi or respond after it")
	}
	if here.delivery {
		w.find(here, false, "instagram_signed_request stands where deliveries of instagram_webhook come, and answers 500 to "+
			"all: give each of them a path of its own")
	}
}

// consumer checks that a handler of authentic deliveries gets any.
func (w *walk) consumer(directive string, here flow) {
	if !here.authentic {
		w.find(here, true, "%s stands where no request was authenticated, so it answers 500 to all: "+
			"instagram_webhook must come before it", directive)
	}
}

// asSuccess ends the findings about failures that are answered with success, behind a webhook or in the block of a
// queue. What to keep the status by comes after it.
const asSuccess = "failures with success, so that what failed counts as delivered and is never sent again: keep the status, by "

// application checks a handler that may hand deliveries to an application.
func (w *walk) application(h caddyhttp.MiddlewareHandler, here flow) {
	if !here.delivery || here.failed {
		return
	}
	if here.masked != keeps && mayFail(h) {
		w.find(here, false, "an intercept before %s %s "+asSuccess+"{http.intercept.status_code}",
			directive(h), here.masked)
	}
	if proxy, ok := h.(*reverseproxy.Handler); ok {
		if v := w.hidesFailures(proxy.HandleResponse, behind); v != keeps {
			w.find(here, false, "handle_response or replace_status of reverse_proxy %s "+asSuccess+
				"copy_response or {rp.status_code}", v)
		}
	}
}

// errors follows requests through the error routes of a subroute.
func (w *walk) errors(h *caddyhttp.Subroute, here flow) {
	if h.Errors == nil {
		return
	}
	errors := here
	errors.known = known{authentic: here.authentic || len(w.webhooks) > 0}
	errors.taken = false
	w.routes(h.Errors.Routes, errors)
	if !here.delivery || here.failed {
		return
	}
	if v, _ := w.judge(h.Errors.Routes, errorRoutes); v != keeps {
		w.find(here, false, "the error routes of a subroute %s "+asSuccess+"{http.error.status_code}",
			strings.TrimSuffix(v.String(), "s"))
	}
}

// queued checks what takes the events of a queue.
func (w *walk) queued(h *queue.Handler, here flow) {
	if here.failed && here.authentic {
		w.find(here, false, "instagram_queue stands in an error route and cannot make a success of a failure: Meta sends "+
			"the delivery again. Put it where deliveries come first, and the application into its block")
	}
	for i := range h.Consumers {
		w.queueConsumer(&h.Consumers[i], here)
	}
}

// queueConsumer checks what takes the events of a queue for a consumer.
func (w *walk) queueConsumer(c *queue.Named, here flow) {
	block, within := "instagram_queue", "in instagram_queue"
	if c.Name != internalqueue.DefaultConsumer {
		block, within = "to "+c.Name, within+", to "+c.Name
	}
	if !w.anyTakes(c.Routes) {
		w.find(here, false, "nothing in the block of %s takes events, so that all of them fail: put "+
			"reverse_proxy, php_fastcgi or instagram_file into it", block)
	}
	w.routes(c.Routes, flow{
		known: known{authentic: true, delivery: true},
		route: append(slices.Clip(here.route), within),
		paths: here.paths,
	})
}

// neverRuns reports handlers that stand after a queue.
func (w *walk) neverRuns(here flow, list []caddyhttp.MiddlewareHandler) {
	var names []string
	for _, h := range list {
		if name := directive(h); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		w.find(here, false, "what stands after instagram_queue never runs: %s. Put it before instagram_queue, or into "+
			"its block", strings.Join(names, ", "))
	}
}
