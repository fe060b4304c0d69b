package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// certCase is one client certificate and what must become of a delivery that
// comes with it.
type certCase struct {
	name string
	cert *tls.Certificate // nil: none
	// says is what the gateway's log must say of a refusal; "" for a
	// certificate that is right.
	says string
	// handshake says that Caddy's own verification ends the connection before
	// the handler is asked, where the TLS policy demands one.
	handshake bool
}

// certCases are the certificates that Meta's may be, and those of others.
func certCases(t *testing.T, root *testpki.Cert) []certCase {
	between := root.CA(t, "Outbound API intermediate")
	stranger := testpki.NewCA(t, "Somebody else's root")
	leaf := between.Client(t)
	return []certCase{
		{"right, from the root", root.Client(t).TLS(), "", false},
		{"right, with its intermediate", leaf.TLS(between), "", false},
		{"right, with the whole chain", leaf.TLS(between, root), "", false},
		{"without EKU", root.Client(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil }).TLS(), "", false},
		{"with the EKU of servers only", root.Client(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}).TLS(), "", true},
		{"without its intermediate", leaf.TLS(), `unknown issuer "CN=Outbound API intermediate`, true},
		{"self-signed with the right CN", (*testpki.Cert)(nil).Client(t).TLS(), `unknown issuer "CN=` + testpki.MetaName, true},
		{"from another CA", stranger.Client(t).TLS(), `unknown issuer "CN=Somebody else's root`, true},
		{"from another CA of the same name", testpki.NewCA(t, root.Subject.CommonName).Client(t).TLS(),
			`unknown issuer "CN=` + root.Subject.CommonName, true},
		{"with another CA in its chain", stranger.Client(t).TLS(stranger), `unknown issuer "CN=Somebody else's root`, true},
		{"CN with a suffix", root.Client(t, func(c *x509.Certificate) { c.Subject.CommonName += ".evil.example" }).TLS(),
			`wrong CN "` + testpki.MetaName + `.evil.example"`, false},
		{"CN with a prefix", root.Client(t, func(c *x509.Certificate) { c.Subject.CommonName = "x." + c.Subject.CommonName }).TLS(),
			`wrong CN "x.` + testpki.MetaName + `"`, false},
		{"CN in capitals", root.Client(t, func(c *x509.Certificate) { c.Subject.CommonName = strings.ToUpper(testpki.MetaName) }).TLS(),
			`wrong CN "` + strings.ToUpper(testpki.MetaName) + `"`, false},
		{"right name as SAN only", root.Client(t, func(c *x509.Certificate) {
			c.Subject.CommonName = "somebody.example"
			c.DNSNames = []string{testpki.MetaName}
		}).TLS(), `wrong CN "somebody.example"`, false},
		{"expired", root.Client(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).TLS(), "expired on", true},
		{"not yet valid", root.Client(t, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
			c.NotAfter = c.NotBefore.Add(time.Hour)
		}).TLS(), "not valid before", true},
		{"none", nil, "sent no certificate", true},
	}
}

// TestClientCertificateRequested has the TLS policy ask and the handler decide.
func TestClientCertificateRequested(t *testing.T) {
	t.Parallel()
	testClientCertificates(t, false, func(string) string { return "mode request" })
}

// TestClientCertificateRequired has Caddy's own policy verify before the
// handler does: some certificates do not get through the handshake then.
func TestClientCertificateRequired(t *testing.T) {
	t.Parallel()
	testClientCertificates(t, true, func(ca string) string {
		return fmt.Sprintf("mode require_and_verify\ntrust_pool file %q", ca)
	})
}

func testClientCertificates(t *testing.T, required bool, clientAuth func(ca string) string) {
	root := testpki.NewCA(t, "Outbound API root")
	old := testpki.NewCA(t, "Outbound API root of last year")
	cases := certCases(t, root)
	u := startUpstream(t)
	s := newSecured(t)
	ca := s.write(t, "ca.pem", string(testpki.PEM(old, root)))

	// A handler for each case: each logs a reason at most once a second.
	var site strings.Builder
	fmt.Fprintf(&site, "tls {\nclient_auth {\n%s\n}\n}\n", clientAuth(ca))
	for i := range cases {
		fmt.Fprintf(&site, `handle /%d {
			instagram_webhook {
				verify_token x
				app_secret %s
				client_cert {
					trust_pool file %q
				}
			}
			reverse_proxy %s
		}
`, i, secret, ca, u.addr)
	}
	s.serve(t, site.String())

	accepted := 0
	for i, test := range cases {
		body := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"%d"}]}`, i)
		if required && test.handshake {
			if err := s.refusedHandshake(test.cert); !contains(err.Error(), "remote error: tls: ") {
				t.Errorf("%s: got past the handshake (%v)", test.name, err)
			}
			continue
		}
		url := fmt.Sprintf("https://%s/%d", s.name, i)
		c := newCaller(s.roots, s.addr, test.cert)
		logged := s.output.Len()
		a, err := c.do(delivery(t, http1, url, secret, body))
		switch {
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
			continue
		case test.says == "":
			accepted++
			if a.status != http.StatusOK {
				t.Errorf("%s: status %d, want 200", test.name, a.status)
			}
		default:
			if a.status != http.StatusForbidden {
				t.Errorf("%s: status %d, want 403", test.name, a.status)
			}
			if says := s.refusal(t, logged); !contains(says, test.says) {
				t.Errorf("%s: the log says %s, not %s", test.name, says, test.says)
			}
		}
		// Without the option, Meta's verification needs no certificate.
		a, err = c.do(verification(t, url, "subscribe", "x", "7"))
		if err != nil || a.status != http.StatusOK {
			t.Errorf("%s: verification answered %v, %v", test.name, a, err)
		}
		c.close()
	}
	if received := len(u.ledger(t)); received != accepted || accepted == 0 {
		t.Errorf("%d deliveries reached the backend, want %d", received, accepted)
	}
}

// refusedHandshake returns how the gateway ends a connection with cert. The
// client of TLS 1.3 learns that only when it reads, and only for sure when it
// has sent nothing that the gateway leaves unread.
func (s *secured) refusedHandshake(cert *tls.Certificate) error {
	conn, err := tls.Dial("tcp", s.addr, clientTLS(s.roots, s.name, cert))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// refusal returns the words of the first refusal that the gateway logged after
// its first bytes of output.
func (g *gateway) refusal(t *testing.T, bytes int) string {
	t.Helper()
	var line struct {
		Level, Msg, Detail string
	}
	match, err := g.awaitAfter(bytes, `(?m)^.*"request refused".*$`)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(match[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "warn" {
		t.Errorf("a refusal is logged at %q", line.Level)
	}
	return line.Detail
}

// TestClientCertificateOptions checks what depends on the configuration: a
// policy that asks for no certificate, one that demands it on the verification
// too, other names, and a connection without TLS.
func TestClientCertificateOptions(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Outbound API root")
	s := newSecured(t)
	ca := s.write(t, "ca.pem", string(testpki.PEM(root)))
	handler := func(path, options string) string {
		return fmt.Sprintf(`handle %s {
			instagram_webhook {
				verify_token x
				app_secret %s
				client_cert {
					trust_pool file %q
					%s
				}
			}
			respond taken
		}
`, path, secret, ca, options)
	}
	site := handler("/default", "") + handler("/verification", "verification") +
		handler("/names", "common_name other.example\ncommon_name third.example")
	plain := freePort(t)
	unasked := "unasked." + s.name
	theAuthority.gateways.Store(unasked, s.httpAddr)
	s.start(t, s.options, fmt.Sprintf("%s {\ntls {\nclient_auth {\nmode request\n}\n}\n%s}\n%s {\n%s}\nhttp://:%d {\n%s}\n",
		s.name, site, unasked, site, plain, site))
	s.handshake(t, s.name)
	s.handshake(t, unasked)

	right := root.Client(t).TLS()
	other := root.Client(t, func(c *x509.Certificate) { c.Subject.CommonName = "third.example" }).TLS()
	body := []byte("{}")
	post := func(url string) *http.Request { return delivery(t, http1, url, secret, body) }
	get := func(url string) *http.Request { return verification(t, url, "subscribe", "x", "7") }
	for _, test := range []struct {
		name string
		req  *http.Request
		cert *tls.Certificate
		want int
		says string
	}{
		{"no policy", post("https://" + unasked + "/default"), right, 403, "asks for no client certificate"},
		{"no TLS", post("http://" + s.name + "/default"), right, 403, "did not come over TLS"},
		{"verification, not demanded", get("https://" + s.name + "/default"), nil, 200, ""},
		{"verification, demanded, none", get("https://" + s.name + "/verification"), nil, 403, "sent no certificate"},
		{"verification, demanded, right", get("https://" + s.name + "/verification"), right, 200, ""},
		{"verification, demanded, wrong", get("https://" + s.name + "/verification"), other, 403, "wrong CN"},
		{"configured name", post("https://" + s.name + "/names"), other, 200, ""},
		{"default name beside configured ones", post("https://" + s.name + "/names"), right, 403, `wrong CN "` + testpki.MetaName + `"`},
	} {
		addr := s.addr
		if test.req.URL.Scheme == "http" {
			addr = fmt.Sprintf("127.0.0.1:%d", plain)
		}
		logged := s.output.Len()
		a := newCaller(s.roots, addr, test.cert).mustDo(t, test.req)
		if a.status != test.want {
			t.Errorf("%s: status %d %q, want %d", test.name, a.status, a.body, test.want)
			continue
		}
		if test.says == "" {
			continue
		}
		if says := s.refusal(t, logged); !contains(says, test.says) {
			t.Errorf("%s: the log says %q, not %q", test.name, says, test.says)
		}
	}
}
