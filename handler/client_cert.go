package handler

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// maxChain is the most certificates that a client may send: Meta sends two or
// three.
const maxChain = 5

// ClientCert demands that a delivery comes over a TLS connection with Meta's
// client certificate. The chain is verified here, against a pool of its own,
// and not by the TLS policy: so other clients of the same site need no
// certificate, and a certificate without the "client authentication" key usage
// is good enough. The check works as well behind a policy that verifies.
type ClientCert struct {
	// TrustPoolRaw is the source of the CA certificates that Meta's
	// certificate must descend from: any `tls.ca_pool.source` module. Several
	// roots at once are fine, as during a change of CA. A file is read when
	// the config is loaded; after changing it, run `caddy reload --force`.
	TrustPoolRaw json.RawMessage `json:"trust_pool,omitempty" caddy:"namespace=tls.ca_pool.source inline_key=provider"`

	// CommonNames are the subject common names accepted, compared exactly.
	// Default: `client.webhooks.fbclientcerts.com`.
	CommonNames []string `json:"common_names,omitempty"`

	// Verification demands the certificate on the verification request too.
	// Meta does not say whether it presents one there. Default: false.
	Verification bool `json:"verification,omitempty"`

	pool   *x509.CertPool
	cas    []*x509.Certificate // in the pool, as far as its source tells
	ctx    caddy.Context
	chains chainCache
}

func (c *ClientCert) provision(ctx caddy.Context) error {
	c.ctx = ctx
	if c.TrustPoolRaw == nil {
		return errors.New("a trust_pool is needed: the PEM file of Meta's CA, for example")
	}
	mod, err := ctx.LoadModule(c, "TrustPoolRaw")
	if err != nil {
		return fmt.Errorf("trust_pool: %w", err)
	}
	source, ok := mod.(caddytls.CA)
	if !ok {
		return fmt.Errorf("trust_pool: module %T is not a source of CA certificates", mod)
	}
	c.pool = source.CertPool()
	if c.pool == nil || c.pool.Equal(x509.NewCertPool()) {
		return errors.New("trust_pool: it holds no CA certificate")
	}
	if provider, ok := source.(caddytls.CertificateProvider); ok {
		c.cas = provider.Certificates()
		warnOfExpiry(ctx.Logger(), c.cas, time.Now())
	}

	if len(c.CommonNames) == 0 {
		c.CommonNames = []string{meta.ClientCommonName}
	}
	for i, name := range c.CommonNames {
		if c.CommonNames[i], err = placeholder.Resolve(name); err != nil {
			return fmt.Errorf("common_name %d: %w", i+1, err)
		}
	}
	return nil
}

// CAs returns the CA certificates of the trust pool, or none if its source does not tell.
func (c *ClientCert) CAs() []*x509.Certificate { return slices.Clone(c.cas) }

// LastCA returns the CA certificate of the trust pool that expires last, or nil if its
// source does not tell. After that no client certificate is trusted.
func (c *ClientCert) LastCA() *x509.Certificate {
	if len(c.cas) == 0 {
		return nil
	}
	return slices.MaxFunc(c.cas, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// warnOfExpiry logs each CA that Meta's certificate will soon not be trusted by.
func warnOfExpiry(logger *zap.Logger, cas []*x509.Certificate, now time.Time) {
	for _, ca := range cas {
		subject, until := zap.String("subject", shorten(ca.Subject.String())), zap.Time("not_after", ca.NotAfter)
		switch left := ca.NotAfter.Sub(now); {
		case left <= 0:
			logger.Warn("a CA certificate in client_cert's trust_pool has expired: "+
				"replace it with Meta's current one", subject, until)
		case left <= app.CAEndsSoon:
			logger.Warn("a CA certificate in client_cert's trust_pool expires soon: add Meta's next one",
				subject, until, zap.Int("days_left", int(left.Hours()/24)))
		}
	}
}

// check rejects a request that did not come with the right certificate. It
// decides by the connection alone, never by placeholders or headers.
func (c *ClientCert) check(r *http.Request) *rejection {
	if r.TLS == nil {
		return certNoTLS.withCause(errors.New("the request did not come over TLS, so there is no client certificate: " +
			"TLS must end in this server, not in a proxy or load balancer before it"))
	}
	chain := r.TLS.PeerCertificates
	switch {
	case !r.TLS.HandshakeComplete:
		return certEarlyData.withCause(errors.New("the request came as TLS early data (0-RTT), " +
			"before the client proved to hold its key"))
	case len(chain) == 0 && !c.requested(r):
		return certNotRequested.withCause(errors.New("the TLS policy of this site asks for no client certificate: " +
			"put client_auth { mode request } into its tls directive"))
	case len(chain) == 0:
		return certMissing.withCause(errors.New("the client sent no certificate: " +
			"switch on \"Attach a client certificate to Webhook requests\" in the App Dashboard"))
	case len(chain) > maxChain:
		return certInvalid.withCause(fmt.Errorf("the client sent %d certificates: Meta sends no more than %d",
			len(chain), maxChain))
	}
	now := time.Now()
	return c.chains.verify(chain, now, func() *rejection { return c.verify(chain, now) })
}

// verify checks the chain, whatever key usages its certificates name, and then
// the common name of its leaf.
func (c *ClientCert) verify(chain []*x509.Certificate, now time.Time) *rejection {
	leaf := chain[0]
	options := x509.VerifyOptions{
		Roots:         c.pool,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, intermediate := range chain[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	if _, err := leaf.Verify(options); err != nil {
		return explainVerification(leaf, err, now)
	}
	if !slices.Contains(c.CommonNames, leaf.Subject.CommonName) {
		return certWrongName.withCause(fmt.Errorf(
			"wrong CN %q: the client certificate is trusted, but its common name must be one of %q",
			shorten(leaf.Subject.CommonName), c.CommonNames))
	}
	return nil
}

// explainVerification puts an error of the verification into words.
func explainVerification(leaf *x509.Certificate, err error, now time.Time) *rejection {
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return certUnknownIssuer.withCause(fmt.Errorf("unknown issuer %q: the client certificate descends from no CA "+
			"in trust_pool; download Meta's current CA and reload (%s)", shorten(leaf.Issuer.String()), shorten(err.Error())))
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return certInvalid.withCause(fmt.Errorf("the client certificate of %q is not valid: %s",
			shorten(leaf.Subject.String()), shorten(err.Error())))
	}
	subject := shorten(invalid.Cert.Subject.String())
	if now.Before(invalid.Cert.NotBefore) {
		return certNotYetValid.withCause(fmt.Errorf("the certificate of %q is not valid before %s: check this machine's clock",
			subject, invalid.Cert.NotBefore.UTC().Format(time.RFC3339)))
	}
	return certExpired.withCause(fmt.Errorf("the certificate of %q expired on %s",
		subject, invalid.Cert.NotAfter.UTC().Format(time.RFC3339)))
}

// shorten shortens what a certificate says of itself.
func shorten(s string) string { return sanitize.Text(s, 256) }

// requested reports whether the TLS policy of this connection asks for a
// client certificate. It selects the policy as the handshake did.
func (c *ClientCert) requested(r *http.Request) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.TLSConnPolicies) == 0 {
		return false
	}
	var conn addressedConn
	conn.local, _ = r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	conn.remote = net.TCPAddrFromAddrPort(remote)
	policy, err := server.TLSConnPolicies.TLSConfig(c.ctx).GetConfigForClient(&tls.ClientHelloInfo{
		ServerName:        r.TLS.ServerName,
		CipherSuites:      []uint16{r.TLS.CipherSuite},
		SupportedVersions: []uint16{r.TLS.Version},
		Conn:              conn,
	})
	return err == nil && policy != nil && policy.ClientAuth != tls.NoClientCert
}

// addressedConn is the part of a connection that TLS policies match on.
type addressedConn struct {
	net.Conn
	local, remote net.Addr
}

func (c addressedConn) LocalAddr() net.Addr  { return c.local }
func (c addressedConn) RemoteAddr() net.Addr { return c.remote }
