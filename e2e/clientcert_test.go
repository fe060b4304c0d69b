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

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/simulate"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// TestCertificateByACME checks that the certificates of the tests are what the
// other tests take them for: got by ACME, by answering a challenge.
func TestCertificateByACME(t *testing.T) {
	t.Parallel()
	caddy := harness.NewSecured(t)
	caddy.Serve(t, "respond hello")
	conn, err := tls.Dial("tcp", caddy.Addr, simulate.TLSConfig(caddy.Name, caddy.Roots, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state := conn.ConnectionState()
	if err := state.PeerCertificates[0].VerifyHostname(caddy.Name); err != nil {
		t.Error(err)
	}
	if len(state.VerifiedChains) == 0 {
		t.Error("the chain was not verified")
	}
	request := harness.NewRequest(t, http.MethodGet, caddy.URL, nil)
	if answer := caddy.Client(t, harness.HTTP1).Do(t, request); answer.Status != http.StatusOK {
		t.Errorf("status %d", answer.Status)
	}
	caddy.WaitOutput(t, `"challenge_type":"http-01"`)
	if caddy.CountLines("authorization finalized") == 0 {
		t.Error("the log does not say that the authorization was finalized")
	}
}

// certCase is one client certificate and what must become of a delivery that
// comes with it.
type certCase struct {
	name string
	cert *tls.Certificate // nil: none
	// says is what the log of Caddy must say of a refusal; "" for a
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
	app := harness.StartApp(t)
	caddy := harness.NewSecured(t)
	ca := caddy.Write(t, "ca.pem", string(testpki.PEM(old, root)))

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
`, i, harness.Secret, ca, app.Addr)
	}
	caddy.Serve(t, "%s", site.String())

	accepted := 0
	for i, test := range cases {
		body := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"%d"}]}`, i)
		if required && test.handshake {
			if err := handshakeError(caddy, test.cert); !strings.Contains(err.Error(), "remote error: tls: ") {
				t.Errorf("%s: got past the handshake (%v)", test.name, err)
			}
			continue
		}
		url := fmt.Sprintf("https://%s/%d", caddy.Name, i)
		client := harness.NewClient(t, harness.HTTP1, url, caddy.Addr, caddy.Roots, test.cert)
		logged := len(caddy.Output())
		answer := client.Do(t, harness.NewDelivery(t, harness.HTTP1, url, harness.Secret, body))
		want := http.StatusForbidden
		if test.says == "" {
			want = http.StatusOK
			accepted++
		}
		if answer.Status != want {
			t.Errorf("%s: status %d, want %d", test.name, answer.Status, want)
		}
		checkRefusal(t, caddy, logged, test.name, test.says)
		// Without the option, Meta's verification needs no certificate.
		answer = client.Do(t, harness.NewVerification(t, url, "subscribe", "x", "7"))
		if answer.Status != http.StatusOK {
			t.Errorf("%s: verification answered %v", test.name, answer)
		}
	}
	if received := len(app.Received(t)); received != accepted || accepted == 0 {
		t.Errorf("%d deliveries reached the backend, want %d", received, accepted)
	}
}

// handshakeError returns how Caddy ends a connection with cert. The client of TLS
// 1.3 learns that only when it reads, and only for sure when it has sent nothing
// that Caddy leaves unread.
func handshakeError(caddy *harness.Secured, cert *tls.Certificate) error {
	conn, err := tls.Dial("tcp", caddy.Addr, simulate.TLSConfig(caddy.Name, caddy.Roots, cert))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(harness.Timeout)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// checkRefusal looks at the first refusal that was logged after the first bytes
// of output. There need be none if says is empty.
func checkRefusal(t *testing.T, caddy *harness.Secured, logged int, name, says string) {
	t.Helper()
	if says == "" {
		return
	}
	line := caddy.WaitOutputFrom(t, logged, `(?m)^.*"request refused".*$`)[0]
	var refusal struct{ Level, Detail string }
	if err := json.Unmarshal([]byte(line), &refusal); err != nil {
		t.Fatal(err)
	}
	if refusal.Level != "warn" {
		t.Errorf("%s: a refusal is logged at %q", name, refusal.Level)
	}
	if !strings.Contains(refusal.Detail, says) {
		t.Errorf("%s: the log says %q, not %q", name, refusal.Detail, says)
	}
}

// TestClientCertificateOptions checks what depends on the configuration: a
// policy that asks for no certificate, one that demands it on the verification
// too, other names, and a connection without TLS.
func TestClientCertificateOptions(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Outbound API root")
	caddy := harness.NewSecured(t)
	ca := caddy.Write(t, "ca.pem", string(testpki.PEM(root)))
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
`, path, harness.Secret, ca, options)
	}
	site := handler("/default", "") + handler("/verification", "verification") +
		handler("/names", "common_name other.example\ncommon_name third.example")
	plain := harness.FreePort(t)
	unasked := "unasked." + caddy.Name
	caddy.AddName(unasked)
	caddy.Start(t, fmt.Sprintf("%s {\ntls {\nclient_auth {\nmode request\n}\n}\n%s}\n%s {\n%s}\nhttp://:%d {\n%s}\n",
		caddy.Name, site, unasked, site, plain, site))
	caddy.WaitCertificate(t, caddy.Name)
	caddy.WaitCertificate(t, unasked)

	right := root.Client(t).TLS()
	other := root.Client(t, func(c *x509.Certificate) { c.Subject.CommonName = "third.example" }).TLS()
	body := []byte("{}")
	post := func(url string) *http.Request {
		return harness.NewDelivery(t, harness.HTTP1, url, harness.Secret, body)
	}
	get := func(url string) *http.Request { return harness.NewVerification(t, url, "subscribe", "x", "7") }
	for _, test := range []struct {
		name string
		req  *http.Request
		cert *tls.Certificate
		want int
		says string
	}{
		{"no policy", post("https://" + unasked + "/default"), right, 403, "asks for no client certificate"},
		{"no TLS", post("http://" + caddy.Name + "/default"), right, 403, "did not come over TLS"},
		{"verification, not demanded", get("https://" + caddy.Name + "/default"), nil, 200, ""},
		{"verification, demanded, none", get("https://" + caddy.Name + "/verification"), nil, 403, "sent no certificate"},
		{"verification, demanded, right", get("https://" + caddy.Name + "/verification"), right, 200, ""},
		{"verification, demanded, wrong", get("https://" + caddy.Name + "/verification"), other, 403, "wrong CN"},
		{"configured name", post("https://" + caddy.Name + "/names"), other, 200, ""},
		{"default name beside configured ones", post("https://" + caddy.Name + "/names"), right, 403,
			`wrong CN "` + testpki.MetaName + `"`},
	} {
		addr := caddy.Addr
		if test.req.URL.Scheme == "http" {
			addr = fmt.Sprintf("127.0.0.1:%d", plain)
		}
		logged := len(caddy.Output())
		answer := harness.NewClient(t, harness.HTTP1, caddy.URL, addr, caddy.Roots, test.cert).Do(t, test.req)
		if answer.Status != test.want {
			t.Errorf("%s: status %d %q, want %d", test.name, answer.Status, answer.Body, test.want)
			continue
		}
		checkRefusal(t, caddy, logged, test.name, test.says)
	}
}
