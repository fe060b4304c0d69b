package check

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// host is the name of the server in the tests.
const host = "hooks.example.com"

// issuer is a certificate with its key.
type issuer struct{ *testpki.Cert }

func newCA(t *testing.T, by *issuer, name string) *issuer {
	t.Helper()
	return newCAUntil(t, by, name, time.Now().Add(10000*time.Hour))
}

func newCAUntil(t *testing.T, by *issuer, name string, end time.Time) *issuer {
	t.Helper()
	validity := func(template *x509.Certificate) {
		template.NotBefore, template.NotAfter = time.Now().Add(-1000*time.Hour), end
	}
	return &issuer{by.orNone().CA(t, name, validity)}
}

// orNone returns the certificate, or none for what signs itself.
func (i *issuer) orNone() *testpki.Cert {
	if i == nil {
		return nil
	}
	return i.Cert
}

// server makes a certificate of the server, right unless change says otherwise.
func (i *issuer) server(t *testing.T, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	if change == nil {
		change = func(*x509.Certificate) {}
	}
	return i.orNone().Server(t, host, change).TLS()
}

// client makes a certificate such as Meta's.
func (i *issuer) client(t *testing.T) *tls.Certificate { return i.Client(t).TLS() }

// with returns cert with a certificate that is sent after it.
func with(cert *tls.Certificate, next *issuer) *tls.Certificate {
	longer := *cert
	longer.Certificate = append(append([][]byte{}, cert.Certificate...), next.Raw)
	return &longer
}

func (i *issuer) pool() *x509.CertPool { return testpki.Pool(i.Cert) }

func (i *issuer) pem() []byte { return testpki.PEM(i.Cert) }

// trustPool is a trust pool with the certificate, as it stands in a config.
func (i *issuer) trustPool(t *testing.T) []byte { return testpki.TrustPool(t, i.Cert) }
