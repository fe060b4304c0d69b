package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// authority is a local ACME server: Caddy's own, in another instance. All
// tests share one; each gateway has its own name.
//
// In its http-01 challenge the authority asks http://<name>/, on port 80 of a
// machine that does not exist. It does so through an HTTP proxy, and the proxy
// is ours: it stands in for DNS and for port 80, and knows the gateway of each
// name. So the tests need neither privileges nor fixed ports.
type authority struct {
	*process
	directory string // the URL that ACME begins with
	root      string // the file with the root certificate
	roots     *x509.CertPool

	proxy    *httptest.Server
	gateways sync.Map // name → address of the gateway's HTTP port
	names    atomic.Int64
	dir      string
}

var (
	theAuthority *authority
	startOnce    = sync.OnceValue(func() (err error) {
		theAuthority, err = startAuthority()
		return err
	})
)

func stopAuthority() {
	if theAuthority == nil {
		return
	}
	theAuthority.stop()
	theAuthority.proxy.Close()
	_ = os.RemoveAll(theAuthority.dir)
}

func startAuthority() (*authority, error) {
	dir, err := os.MkdirTemp("", "instagram-acme")
	if err != nil {
		return nil, err
	}
	port, err := findPort()
	if err != nil {
		return nil, err
	}
	a := &authority{
		dir:       dir,
		directory: fmt.Sprintf("https://localhost:%d/acme/local/directory", port),
		root:      filepath.Join(dir, "storage", "pki", "authorities", "local", "root.crt"),
	}
	a.proxy = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			addr, _ := a.gateways.Load(r.In.URL.Hostname())
			r.SetURL(&url.URL{Scheme: "http", Host: fmt.Sprint(addr)})
			r.Out.URL.Path = r.In.URL.Path
			r.Out.Host = r.In.Host
		},
	})

	config := filepath.Join(dir, "Caddyfile")
	err = os.WriteFile(config, []byte(fmt.Sprintf(`{
	admin off
	default_bind 127.0.0.1
	skip_install_trust
	auto_https disable_redirects
	storage file_system %q
}
https://localhost:%d {
	tls internal
	acme_server {
		challenges http-01
	}
}
`, filepath.Join(dir, "storage"), port)), 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(caddyBinary, "run", "--config", config)
	cmd.Env = environment("HTTP_PROXY="+a.proxy.URL, "HOME="+dir,
		"XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	if a.process, err = startProcess("ACME server", cmd); err != nil {
		return nil, err
	}
	if _, err = a.await(`certificate obtained successfully`); err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(a.root)
	if err != nil {
		return nil, err
	}
	a.roots = x509.NewCertPool()
	if !a.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", a.root)
	}
	return a, nil
}

// secured is a gateway with a name and a certificate from the authority.
type secured struct {
	*gateway
	name     string
	addr     string // where its HTTPS port is
	httpAddr string // where its HTTP port is
	options  string // the global options by which it gets its certificate
	roots    *x509.CertPool
}

// newSecured prepares a gateway that can get a certificate, not started yet.
func newSecured(t *testing.T, env ...string) *secured {
	t.Helper()
	if err := startOnce(); err != nil {
		t.Fatal(err)
	}
	a := theAuthority
	httpPort, httpsPort := freePort(t), freePort(t)
	s := &secured{
		gateway:  newGateway(t, env...),
		name:     fmt.Sprintf("hooks-%d.example.com", a.names.Add(1)),
		addr:     fmt.Sprintf("127.0.0.1:%d", httpsPort),
		httpAddr: fmt.Sprintf("127.0.0.1:%d", httpPort),
		roots:    a.roots,
	}
	s.options = fmt.Sprintf(`http_port %d
	https_port %d
	acme_ca %s
	acme_ca_root %q
	servers {
		protocols h1 h2
	}
`, httpPort, httpsPort, a.directory, a.root)
	a.gateways.Store(s.name, s.httpAddr)
	return s
}

// serve starts the gateway with one site of its name, and returns when the
// site has its certificate.
func (s *secured) serve(t *testing.T, site string) {
	t.Helper()
	s.start(t, s.options, s.site(site))
	s.handshake(t, s.name)
}

// site is a site of the gateway's name, in Caddyfile syntax.
func (s *secured) site(content string) string { return s.name + " {\n" + content + "\n}\n" }

// handshake returns when the gateway shows its certificate for name. That is
// an instant after it logged that it got one, which no log line tells.
func (s *secured) handshake(t *testing.T, name string) {
	t.Helper()
	s.mustAwait(t, `certificate obtained successfully.*"`+regexp.QuoteMeta(name)+`"`)
	deadline := time.Now().Add(patience)
	for {
		conn, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: s.roots, ServerName: name})
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("handshake with %s: %v", name, err)
		}
	}
}

// TestCertificateByACME checks that the certificates of the tests are what the
// other tests take them for: got by ACME, by answering a challenge.
func TestCertificateByACME(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	s.serve(t, "respond hello")
	resp, err := newCaller(s.roots, s.addr, nil).client.Get("https://" + s.name + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	leaf := resp.TLS.PeerCertificates[0]
	if err := leaf.VerifyHostname(s.name); err != nil {
		t.Error(err)
	}
	if len(resp.TLS.VerifiedChains) == 0 {
		t.Error("the chain was not verified")
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	s.mustAwait(t, `"challenge_type":"http-01"`)
	if got, want := s.output.String(), "authorization finalized"; !contains(got, want) {
		t.Errorf("no %q in the log of the gateway", want)
	}
}
