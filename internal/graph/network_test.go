package graph_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// hijack answers with these bytes, and nothing else.
func hijack(w http.ResponseWriter, answer string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, answer)
}

func TestErrorsOfTheNetworkAreSanitized(t *testing.T) {
	t.Parallel()
	long := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hijack(w, strings.Repeat("x", 1<<20)+"\r\n\r\n")
	}))
	t.Cleanup(long.Close)
	wild := httptest.NewUnstartedServer(http.NotFoundHandler())
	wild.TLS = &tls.Config{Certificates: []tls.Certificate{wildCertificate(t)}}
	wild.Config.ErrorLog = log.New(io.Discard, "", 0)
	wild.StartTLS()
	t.Cleanup(wild.Close)
	named := strings.Replace(wild.URL, "127.0.0.1", "localhost", 1)
	for base, want := range map[string]string{long.URL: "malformed HTTP response", named: "certificate is valid for  [31mred"} {
		c := &graph.Client{BaseURL: base, Token: igToken, MaxWait: -1}
		_, err := c.Me(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 1200 {
			t.Errorf("got %q", err)
		}
	}
}

// wildCertificate is for a name that a terminal would obey.
func wildCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"\x1b[31mred\n"}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
