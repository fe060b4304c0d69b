package simulate

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// issue makes a certificate for what template says; without an issuer it signs
// itself.
func issue(t *testing.T, by *tls.Certificate, template *x509.Certificate) *tls.Certificate {
	t.Helper()
	var issuer *testpki.Cert
	if by != nil {
		issuer = &testpki.Cert{Certificate: by.Leaf, Key: by.PrivateKey.(*ecdsa.PrivateKey)}
	}
	return issuer.Issue(t, *template).TLS()
}

func authority(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	return issue(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
}

func poolOf(authorities ...*tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a.Leaf)
	}
	return pool
}

// serveTLS starts a server that would rather speak HTTP/2, and returns its URL.
func serveTLS(t *testing.T, by *tls.Certificate, clients *x509.CertPool, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handle)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{*issue(t, by, &x509.Certificate{
		Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})}}
	if clients != nil {
		server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL + "/webhooks"
}

func TestTLS(t *testing.T) {
	t.Parallel()
	root, meta := authority(t, "receiver's root"), authority(t, "Meta's root")
	const name = "client.webhooks.fbclientcerts.com"
	presented := issue(t, meta, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	unknown := issue(t, authority(t, "another root"), &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})

	for title, tc := range map[string]struct {
		roots       *x509.CertPool
		clients     *x509.CertPool
		certificate *tls.Certificate
		label       string
	}{
		"no client certificate asked for": {poolOf(root), nil, presented, "200"},
		"client certificate":              {poolOf(root), poolOf(meta), presented, "200"},
		"none presented":                  {poolOf(root), poolOf(meta), nil, "tls"},
		"one of another CA":               {poolOf(root), poolOf(meta), unknown, "tls"},
		"receiver of an unknown CA":       {poolOf(meta), nil, nil, "tls"},
		"receiver not of a public CA":     {nil, nil, nil, "tls"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			to := serveTLS(t, root, tc.clients, func(_ http.ResponseWriter, r *http.Request) {
				if r.Proto != "HTTP/1.1" || r.TLS.NegotiatedProtocol != "http/1.1" {
					t.Errorf("%s, negotiated %q", r.Proto, r.TLS.NegotiatedProtocol)
				}
				if tc.clients != nil && r.TLS.PeerCertificates[0].Subject.CommonName != name {
					t.Errorf("presented %s", r.TLS.PeerCertificates[0].Subject)
				}
			})
			c := &Client{URL: to, Secret: testSecret, Roots: tc.roots, Certificate: tc.certificate}
			defer c.Close()
			for range 2 {
				if o := c.Deliver(t.Context(), []byte("{}")); o.Label() != tc.label || (o.Err == nil) != (tc.label == "200") {
					t.Errorf("%s: %+v", o.Label(), o)
				}
			}
		})
	}
}
