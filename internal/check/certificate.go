package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// certificate checks the TLS handshake and the chain, each fault by itself. It
// reports whether requests can be sent.
func (r *run) certificate() bool {
	chain, err := r.handshake()
	if err != nil {
		r.fault(TLS, fmt.Sprintf("The TLS handshake fails: %s.", reasonOf(err)),
			"See Caddy's log: it has no certificate for this name yet, or something else than Caddy listens there.")
		r.skipFrom(CertificateName, "the TLS handshake fails")
		return false
	}
	r.ok(TLS, "The TLS handshake succeeds.")
	leaf, host := chain[0], r.url.Hostname()
	good := true

	if err := leaf.VerifyHostname(host); err != nil {
		good = false
		r.fault(CertificateName, fmt.Sprintf("The certificate is not for %s, but for %q.", host, certificateNames(leaf)),
			"Name the host in Caddy's site address, so that Caddy gets a certificate for it.")
	} else {
		r.ok(CertificateName, fmt.Sprintf("The certificate is for %s.", host))
	}

	now := time.Now()
	err = r.verify(chain, now)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	if isInvalid && invalid.Reason == x509.Expired && invalid.Cert != nil {
		good = false
		r.expired(invalid.Cert, now)
		// What else is wrong shows at a time when it was valid.
		err = r.verify(chain, invalid.Cert.NotAfter.Add(-time.Second))
	} else {
		r.expiry(leaf, now)
	}

	if err != nil {
		good = false
	}
	r.chain(chain, err)
	if !good {
		r.skipFrom(HTTP, "the certificate is not trusted, so no secret is sent")
	}
	return good
}

// handshake returns the certificates that the server sends. It believes any, as
// nothing is sent on the connection. It finds out whether the server asks for a
// client certificate, and whether TLS refuses the one presented, or none.
func (r *run) handshake() (chain []*x509.Certificate, err error) {
	ctx, cancel := r.step()
	defer cancel()
	conn, err := r.dialer()(ctx, "tcp", net.JoinHostPort(r.url.Hostname(), portOf(r.url)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	config := simulate.TLSConfig(r.url.Hostname(), r.Roots, r.Certificate)
	config.InsecureSkipVerify = true // they are verified one by one, to say what is wrong
	config.VerifyPeerCertificate = func(sent [][]byte, _ [][]*x509.Certificate) error {
		for _, der := range sent {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			chain = append(chain, cert)
		}
		return nil
	}
	offer := config.GetClientCertificate
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		r.certRequested = true
		return offer(request)
	}
	secured := tls.Client(conn, config)
	err = secured.HandshakeContext(ctx)
	if err == nil && r.certRequested {
		// Since TLS 1.3 the client is done before the server has judged its
		// certificate. A server that is content waits for a request.
		_ = secured.SetReadDeadline(time.Now().Add(min(certVerdictTimeout, r.timeout()))) // without it, the context ends the read
		_, err = secured.Read(make([]byte, 1))
		if !alerted(err) {
			err = nil
		}
	}
	if alerted(err) && r.certRequested && len(chain) > 0 {
		r.certAlert = err
		return chain, nil
	}
	if err == nil && len(chain) == 0 {
		err = errors.New("the server sends no certificate")
	}
	return chain, err
}

// certVerdictTimeout is how long to wait for a server to refuse a client certificate.
const certVerdictTimeout = time.Second

// alerted reports whether the other side ended TLS.
func alerted(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && operation.Op == "remote error"
}

func (r *run) verify(chain []*x509.Certificate, at time.Time) error {
	options := x509.VerifyOptions{Roots: r.Roots, CurrentTime: at, Intermediates: x509.NewCertPool()}
	for _, between := range chain[1:] {
		options.Intermediates.AddCert(between)
	}
	_, err := chain[0].Verify(options)
	return err
}

func (r *run) expired(cert *x509.Certificate, now time.Time) {
	if now.Before(cert.NotBefore) {
		r.fault(CertificateExpiry, fmt.Sprintf("The certificate of %q is valid only from %s.", cert.Subject, day(cert.NotBefore)),
			"Check the clocks of this machine and of the server.")
		return
	}
	r.fault(CertificateExpiry, fmt.Sprintf("The certificate of %q expired on %s.", cert.Subject, day(cert.NotAfter)),
		"See Caddy's log for why it was not renewed, often because port 80 or 443 cannot be reached from outside; renew it by hand if Caddy did not get it.")
}

// expiry warns of a certificate that should have been renewed: Caddy does so
// when a third of the life is left, whether that is a month or two days.
func (r *run) expiry(leaf *x509.Certificate, now time.Time) {
	until := fmt.Sprintf("The certificate is valid until %s", day(leaf.NotAfter))
	if leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/6 {
		r.warn(CertificateExpiry, until+", which is soon for its length of life.", "See Caddy's log for why it was not renewed yet.")
		return
	}
	r.ok(CertificateExpiry, until+".")
}

// chain says what is wrong with the way from the certificate to a root.
func (r *run) chain(chain []*x509.Certificate, err error) {
	leaf, last := chain[0], chain[len(chain)-1]
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case isInvalid && invalid.Reason == x509.Expired:
		r.skip("the certificates in it were never valid at the same time", CertificateChain)
	case err == nil && r.Roots != nil:
		r.ok(CertificateChain, "The certificate descends from a CA that was given for this check. Meta trusts public CAs only.")
	case err == nil:
		r.ok(CertificateChain, "The certificate descends from a public CA.")
	case unknown && selfSigned(leaf):
		r.fault(CertificateChain, "The certificate is self-signed, and Meta trusts public CAs only.",
			"Let Caddy get a certificate by itself: remove 'tls internal' or the certificate's files from the site.")
	case unknown && selfSigned(last):
		r.fault(CertificateChain, fmt.Sprintf("The certificate descends from %q, which is no public CA, and Meta trusts no other.", last.Subject),
			"Let Caddy get a certificate by itself: remove 'tls internal' or the certificate's files from the site.")
	case unknown:
		r.fault(CertificateChain, fmt.Sprintf("An intermediate certificate is missing, or the CA is not public: the server sends %s, the last one issued by %q, which is not trusted.", count(len(chain), "certificate"), last.Issuer),
			"Put the whole chain into the certificate's file, the server's own first; or let Caddy get a certificate by itself, without 'tls internal'.")
	default:
		r.fault(CertificateChain, fmt.Sprintf("The certificate is not valid: %s.", err), "Get a new one from a public CA.")
	}
}

func selfSigned(cert *x509.Certificate) bool {
	return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// certificateNames returns what a certificate is for.
func certificateNames(cert *x509.Certificate) []string {
	all := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	return all[:min(len(all), 10)]
}

// day returns a time as text, to the minute, in UTC.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
