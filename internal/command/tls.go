package command

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/spf13/cobra"
)

// maxPEM bounds a file with certificates or a key, in bytes.
const maxPEM = 4 << 20

// tlsFlags are the flags for the files of a TLS client.
type tlsFlags struct{ ca, cert, key string }

// register adds the flags to a command. trust says what --ca means there.
func (f *tlsFlags) register(cmd *cobra.Command, trust string) {
	cmd.Flags().StringVar(&f.ca, "ca", "", trust)
	cmd.Flags().StringVar(&f.cert, "cert", "", "The PEM `file` with the client certificate to present, and its chain")
	cmd.Flags().StringVar(&f.key, "key", "", "The PEM `file` with its key")
	cmd.MarkFlagsRequiredTogether("cert", "key")
}

// authorities returns the CAs of --ca, alone or in addition to those of the system,
// or nil without --ca.
func (f *tlsFlags) authorities(besides bool) (*x509.CertPool, error) {
	if f.ca == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if besides {
		if system, err := x509.SystemCertPool(); err == nil { // else the system has none
			pool = system
		}
	}
	bundle, err := readFile(f.ca, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("--ca: %s holds no certificate in PEM", f.ca)
	}
	return pool, nil
}

// certificate returns the client certificate, or nil if there is none.
func (f *tlsFlags) certificate() (*tls.Certificate, error) {
	if f.cert == "" {
		return nil, nil
	}
	chain, err := readFile(f.cert, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("--cert: %w", err)
	}
	key, err := readFile(f.key, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("--cert and --key: %w", err)
	}
	return &pair, nil
}
