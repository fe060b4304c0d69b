//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// host is the name that the servers have in their certificates.
const host = "hooks.example.com"

// certificates are those of the servers, and of the loader as a client. Each is
// its own CA or has one that was made for it.
type certificates struct {
	file, key string      // of the servers
	clientCA  string      // file with the CA of the loader's certificate
	client    *tls.Config // of the loader, which sends its certificate to who asks
}

// makeCertificates makes all certificates, with their files in a directory.
func makeCertificates(dir string) (*certificates, error) {
	server, err := issue(&x509.Certificate{DNSNames: []string{host}, IsCA: true}, nil)
	if err != nil {
		return nil, err
	}
	ca, err := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "bench CA"}, IsCA: true}, nil)
	if err != nil {
		return nil, err
	}
	client, err := issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: meta.ClientCommonName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca)
	if err != nil {
		return nil, err
	}

	c := &certificates{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "client-ca.pem"), nil}
	private, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{
		{c.file, "CERTIFICATE", server.Leaf.Raw},
		{c.key, "PRIVATE KEY", private},
		{c.clientCA, "CERTIFICATE", ca.Leaf.Raw},
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(f.name, text, 0o600); err != nil {
			return nil, err
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Leaf)
	c.client = &tls.Config{RootCAs: roots, ServerName: host, Certificates: []tls.Certificate{*client}}
	return c, nil
}

// issue makes a certificate that is signed by a parent, or, without one, by
// itself.
func issue(template *x509.Certificate, parent *tls.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotAfter = time.Now().Add(24 * time.Hour)
	template.BasicConstraintsValid = true
	signer := &tls.Certificate{Leaf: template, PrivateKey: key}
	if parent != nil {
		signer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Leaf, key.Public(), signer.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
