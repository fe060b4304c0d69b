// Package testpki issues certificates for tests.
package testpki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// MetaName is the common name of Meta's client certificate.
const MetaName = meta.ClientCommonName

// Cert is a certificate with its key. A nil Cert issues certificates that sign
// themselves.
type Cert struct {
	*x509.Certificate
	Key *ecdsa.PrivateKey
}

// Issue issues a certificate for template. It is valid from an hour ago, for a
// day, unless template says otherwise.
func (c *Cert) Issue(t testing.TB, template x509.Certificate) *Cert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	parent, signer := &template, key
	if c != nil {
		parent, signer = c.Certificate, c.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Cert{cert, key}
}

// issue issues a certificate for template, with changes.
func (c *Cert) issue(t testing.TB, template x509.Certificate, changes []func(*x509.Certificate)) *Cert {
	t.Helper()
	for _, change := range changes {
		change(&template)
	}
	return c.Issue(t, template)
}

// CA issues the certificate of a CA, valid for 400 days, with changes.
func (c *Cert) CA(t testing.TB, name string, changes ...func(*x509.Certificate)) *Cert {
	t.Helper()
	return c.issue(t, x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotAfter:              time.Now().Add(400 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}, changes)
}

// NewCA makes a root CA, with changes.
func NewCA(t testing.TB, name string, changes ...func(*x509.Certificate)) *Cert {
	t.Helper()
	return (*Cert)(nil).CA(t, name, changes...)
}

// Client issues a client certificate such as Meta's, with changes.
func (c *Cert) Client(t testing.TB, changes ...func(*x509.Certificate)) *Cert {
	t.Helper()
	return c.issue(t, x509.Certificate{
		Subject:     pkix.Name{CommonName: MetaName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, changes)
}

// Server issues the certificate of a server, with changes.
func (c *Cert) Server(t testing.TB, host string, changes ...func(*x509.Certificate)) *Cert {
	t.Helper()
	return c.issue(t, x509.Certificate{
		Subject:  pkix.Name{CommonName: host},
		DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}, changes)
}

// TLS returns the certificate as a peer presents it, followed by chain.
func (c *Cert) TLS(chain ...*Cert) *tls.Certificate {
	presented := &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: c.Key, Leaf: c.Certificate}
	for _, next := range chain {
		presented.Certificate = append(presented.Certificate, next.Raw)
	}
	return presented
}

// Pool returns a pool of certificates.
func Pool(certs ...*Cert) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c.Certificate)
	}
	return pool
}

// PEM returns a bundle of certificates as operators keep it in a file.
func PEM(certs ...*Cert) []byte {
	var bundle []byte
	for _, c := range certs {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return bundle
}

// DER returns a certificate as it stands in a Caddyfile.
func DER(c *Cert) string { return base64.StdEncoding.EncodeToString(c.Raw) }

// TrustPool returns certificates as a trust pool in the JSON of a config.
func TrustPool(t testing.TB, certs ...*Cert) json.RawMessage {
	t.Helper()
	inline := struct {
		Provider string   `json:"provider"`
		Certs    [][]byte `json:"trusted_ca_certs"`
	}{Provider: "inline"}
	for _, c := range certs {
		inline.Certs = append(inline.Certs, c.Raw)
	}
	raw, err := json.Marshal(inline)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
