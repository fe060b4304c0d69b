package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// metaCN is the common name of Meta's client certificate.
const metaCN = "client.webhooks.fbclientcerts.com"

// issuer is a certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newRoot makes a CA such as the one that Meta publishes.
func newRoot(t *testing.T, name string) *issuer {
	t.Helper()
	return issue(t, nil, authorityTemplate(name))
}

// intermediate makes a CA below another.
func (i *issuer) intermediate(t *testing.T, name string) *issuer {
	t.Helper()
	return issue(t, i, authorityTemplate(name))
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Test"}},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
		NotAfter:              time.Now().Add(365 * 24 * time.Hour),
	}
}

// client makes a client certificate that is right unless change, which may be
// nil, says otherwise.
func (i *issuer) client(t *testing.T, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: metaCN},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	return issue(t, i, template).tls()
}

// selfSigned makes a right-looking certificate that nobody issued.
func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	var nobody *issuer
	return nobody.client(t, nil)
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
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
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

func (i *issuer) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key, Leaf: i.cert}
}

// sending returns cert with the certificates that are sent after it.
func sending(cert *tls.Certificate, chain ...*issuer) *tls.Certificate {
	longer := *cert
	longer.Certificate = append([][]byte{}, cert.Certificate...)
	for _, i := range chain {
		longer.Certificate = append(longer.Certificate, i.cert.Raw)
	}
	return &longer
}

// pemOf is a bundle as operators keep it in a file.
func pemOf(issuers ...*issuer) string {
	var bundle []byte
	for _, i := range issuers {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})...)
	}
	return string(bundle)
}

// derOf is a CA as it stands inline in a configuration.
func derOf(t *testing.T) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString(newRoot(t, "Inline root").cert.Raw)
}
