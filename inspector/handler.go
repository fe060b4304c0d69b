// Package inspector is the handler instagram_inspector: a page that shows what comes from
// Meta and what becomes of it. It is there to be imported to write a config in Go.
package inspector

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler shows a page with what comes from Meta and what becomes of it: deliveries,
// refusals and attempts as they happen, the events in the queues with their attempts, and
// the causes of dead letters.
//
// What people wrote is private, so it answers 403 unless it knows who asks. That is a user
// whom an authentication before it found, such as `basic_auth`; the name in a client
// certificate that the `tls` of the site has verified; or the value of TrustHeader, from
// one of the `trusted_proxies`. Text, names and links of people are masked until the user
// reveals them, event by event, which is logged.
//
// The page shows all queues of this Caddy. Mount it at a path that ends with a slash.
type Handler struct {
	// Allow is what may be changed in the page: `retry` makes events pending again,
	// `discard` forgets them, and `pause` begins and ends pauses of consumers. Each
	// change is logged. Default: nothing may be changed.
	Allow []string `json:"allow,omitempty"`

	// TrustHeader is the name of a header in which an identity proxy in front of Caddy
	// says who the user is. It counts only if the request comes from one of the
	// `trusted_proxies` of the server, which must remove it from requests of others.
	// Default: no header is trusted.
	TrustHeader string `json:"trust_header,omitempty"`

	server *Server
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_inspector",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision prepares the page.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.TrustHeader = http.CanonicalHeaderKey(h.TrustHeader)
	h.server = NewServer(new(admin.API).Handler(), h.Allow, ctx.Logger())
	return nil
}

// What may be allowed.
const (
	retry   = "retry"
	discard = "discard"
	pause   = "pause"
)

// Validate checks the options.
func (h *Handler) Validate() error {
	for _, what := range h.Allow {
		if !slices.Contains([]string{retry, discard, pause}, what) {
			return fmt.Errorf("allow: %q is none of retry, discard and pause", what)
		}
	}
	return nil
}

// ServeHTTP shows the page to users.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	user, err := h.user(r)
	if err != nil {
		h.server.refuse(w, r, err)
		return nil
	}
	h.server.Serve(w, r, user)
	return nil
}

var errNobody = errors.New("nobody is logged in: put basic_auth or another authentication before instagram_inspector, " +
	"have the site verify client certificates, or name the header of an identity proxy with trust_header")

// user returns who asks.
func (h *Handler) user(r *http.Request) (string, error) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if id, _ := repl.GetString("http.auth.user.id"); id != "" {
			return id, nil
		}
	}
	if name := certified(r); name != "" {
		return name, nil
	}
	if h.TrustHeader == "" {
		return "", errNobody
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); !trusted {
		return "", errNobody
	}
	if values := r.Header[h.TrustHeader]; len(values) == 1 && values[0] != "" {
		return values[0], nil
	}
	return "", errNobody
}

// certified returns the name in a client certificate, or "". It counts only if TLS has
// verified a chain: with the mode request, anybody can send a certificate with any name.
// That of Meta is for deliveries, and belongs to no user.
func certified(r *http.Request) string {
	if r.TLS == nil || !r.TLS.HandshakeComplete || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	cert := r.TLS.VerifiedChains[0][0]
	if cert.Subject.CommonName == meta.ClientCommonName || cert.VerifyHostname(meta.ClientCommonName) == nil {
		return ""
	}
	return cmp.Or(cert.Subject.CommonName, "a client certificate")
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
