package command

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"

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

// read returns the CAs of --ca, alone or besides those of the system, and the client
// certificate. Either is nil if there is no flag for it.
func (f *tlsFlags) read(besides bool) (roots *x509.CertPool, certificate *tls.Certificate, err error) {
	if f.ca != "" {
		if roots, err = f.authorities(besides); err != nil {
			return nil, nil, fmt.Errorf("--ca: %w", err)
		}
	}
	if f.cert == "" {
		return roots, nil, nil
	}
	chain, err := readFile(f.cert, maxPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("--cert: %w", err)
	}
	key, err := readFile(f.key, maxPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("--key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, nil, fmt.Errorf("--cert and --key: %w", err)
	}
	return roots, &pair, nil
}

func (f *tlsFlags) authorities(besides bool) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if besides {
		if system, err := x509.SystemCertPool(); err == nil { // else the system has none
			pool = system
		}
	}
	bundle, err := readFile(f.ca, maxPEM)
	if err == nil && !pool.AppendCertsFromPEM(bundle) {
		err = fmt.Errorf("%s holds no certificate in PEM", f.ca)
	}
	return pool, err
}

// readAll reads all of r. It returns an error if that is more than maxSize bytes.
func readAll(r io.Reader, maxSize int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && int64(len(data)) > maxSize {
		return nil, fmt.Errorf("it is longer than %d MiB", maxSize>>20)
	}
	return data, err
}

// readFile is readAll for a file.
func readFile(name string, maxSize int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, maxSize)
}
