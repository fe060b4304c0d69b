package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"
)

// host is the name of the server in the tests.
const host = "hooks.example.com"

// issuer is a certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, by *issuer, name string) *issuer {
	t.Helper()
	return newCAUntil(t, by, name, time.Now().Add(10000*time.Hour))
}

func newCAUntil(t *testing.T, by *issuer, name string, end time.Time) *issuer {
	t.Helper()
	return issue(t, by, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: end,
	})
}

// issue makes a certificate; one without issuer signs itself.
func issue(t *testing.T, by *issuer, template *x509.Certificate) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

// server makes a certificate of the server, right unless change says otherwise.
func (i *issuer) server(t *testing.T, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature}
	if change != nil {
		change(template)
	}
	return issue(t, i, template).tls()
}

// client makes a certificate such as Meta's.
func (i *issuer) client(t *testing.T) *tls.Certificate {
	t.Helper()
	return issue(t, i, &x509.Certificate{
		Subject: pkix.Name{CommonName: "client.webhooks.fbclientcerts.com"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}).tls()
}

func (i *issuer) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key, Leaf: i.cert}
}

// with returns cert with a certificate that is sent after it.
func with(cert *tls.Certificate, next *issuer) *tls.Certificate {
	longer := *cert
	longer.Certificate = append(append([][]byte{}, cert.Certificate...), next.cert.Raw)
	return &longer
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

func (i *issuer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// trustPool is a trust pool with the certificate, as it stands in a config.
func (i *issuer) trustPool() []byte {
	return fmt.Appendf(nil, `{"provider":"inline","trusted_ca_certs":[%q]}`, base64.StdEncoding.EncodeToString(i.cert.Raw))
}
