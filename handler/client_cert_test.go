package handler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

func leafNamed(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}}
}

func TestClientCert(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Outbound Root")
	second := testpki.NewCA(t, "Next Outbound Root")
	middle := root.CA(t, "Outbound Issuer")
	stranger := testpki.NewCA(t, "Strange Root")
	expiredMiddle := root.CA(t, "Old Issuer", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	notCA := root.Issue(t, leafNamed("not-a-ca.example.com"))

	old := leafNamed(meta.ClientCommonName)
	old.NotAfter = time.Now().Add(-time.Minute)
	young := leafNamed(meta.ClientCommonName)
	young.NotBefore = time.Now().Add(time.Hour)
	server := leafNamed(meta.ClientCommonName)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := leafNamed(meta.ClientCommonName)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	inSAN := leafNamed("someone-else.example.com")
	inSAN.DNSNames = []string{meta.ClientCommonName}
	inOU := x509.Certificate{Subject: pkix.Name{OrganizationalUnit: []string{meta.ClientCommonName}}}
	long := leafNamed(strings.Repeat("x", 5000))

	chain := func(certs ...*testpki.Cert) *tls.ConnectionState {
		state := &tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13}
		for _, c := range certs {
			state.PeerCertificates = append(state.PeerCertificates, c.Certificate)
		}
		return state
	}
	good := root.Issue(t, leafNamed(meta.ClientCommonName))
	early := chain(good)
	early.HandshakeComplete = false

	for _, tc := range []struct {
		name   string
		tls    *tls.ConnectionState
		reason *reason
		says   string
	}{
		{"root and leaf", chain(good), nil, ""},
		{"leaf of the next root", chain(second.Issue(t, leafNamed(meta.ClientCommonName))), nil, ""},
		{"with intermediate", chain(middle.Issue(t, leafNamed(meta.ClientCommonName)), middle), nil, ""},
		{"with the root too", chain(middle.Issue(t, leafNamed(meta.ClientCommonName)), middle, root), nil, ""},
		{"client usage", chain(root.Issue(t, client)), nil, ""},
		{"server usage only", chain(root.Issue(t, server)), nil, ""},
		{"no TLS", nil, &certNoTLS, "not come over TLS"},
		{"early data", early, &certEarlyData, "0-RTT"},
		{"none", chain(), &certNotRequested, "client_auth { mode request }"},
		{"intermediate not sent", chain(middle.Issue(t, leafNamed(meta.ClientCommonName))), &certUnknownIssuer, `unknown issuer "CN=Outbound Issuer"`},
		{"self-signed", chain((*testpki.Cert)(nil).Issue(t, leafNamed(meta.ClientCommonName))), &certUnknownIssuer, "unknown issuer"},
		{"another CA", chain(stranger.Issue(t, leafNamed(meta.ClientCommonName))), &certUnknownIssuer, `unknown issuer "CN=Strange Root"`},
		{"another CA of the same name", chain(testpki.NewCA(t, "Outbound Root").Issue(t, leafNamed(meta.ClientCommonName))), &certUnknownIssuer, "unknown issuer"},
		{"issuer is no CA", chain(notCA.Issue(t, leafNamed(meta.ClientCommonName)), notCA), &certUnknownIssuer, "cannot sign"},
		{"expired", chain(root.Issue(t, old)), &certExpired, "expired on " + old.NotAfter.UTC().Format("2006-01-02")},
		{"expired intermediate", chain(expiredMiddle.Issue(t, leafNamed(meta.ClientCommonName)), expiredMiddle), &certExpired, `"CN=Old Issuer" expired on`},
		{"not yet valid", chain(root.Issue(t, young)), &certNotYetValid, "not valid before"},
		{"suffix", chain(root.Issue(t, leafNamed(meta.ClientCommonName+".evil.example"))), &certWrongName, `wrong CN "client.webhooks.fbclientcerts.com.evil.example"`},
		{"prefix", chain(root.Issue(t, leafNamed("x"+meta.ClientCommonName))), &certWrongName, "wrong CN"},
		{"upper case", chain(root.Issue(t, leafNamed(strings.ToUpper(meta.ClientCommonName)))), &certWrongName, "wrong CN"},
		{"wildcard", chain(root.Issue(t, leafNamed("*.webhooks.fbclientcerts.com"))), &certWrongName, "wrong CN"},
		{"trailing dot", chain(root.Issue(t, leafNamed(meta.ClientCommonName+"."))), &certWrongName, "wrong CN"},
		{"zero byte", chain(root.Issue(t, leafNamed(meta.ClientCommonName+"\x00"))), &certWrongName, "wrong CN"},
		{"name only in SAN", chain(root.Issue(t, inSAN)), &certWrongName, "wrong CN"},
		{"name only in OU", chain(root.Issue(t, inOU)), &certWrongName, `wrong CN ""`},
		{"long name", chain(root.Issue(t, long)), &certWrongName, "…"},
		{"long chain", chain(good, root, root, root, root, root), &certInvalid, "6 certificates"},
		{"right leaf second", chain(root.Issue(t, leafNamed("other.example.com")), good), &certWrongName, "wrong CN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(h *Handler) {
				h.ClientCert = &ClientCert{TrustPoolRaw: testpki.TrustPool(t, root, second)}
			})
			r := newDelivery(testBody)
			r.TLS = tc.tls
			a := f.serve(t, r)
			if tc.reason == nil {
				if a.Code != http.StatusOK || !a.passed {
					t.Fatalf("got %d: %v", a.Code, f.logs.All())
				}
				return
			}
			if a.Code != tc.reason.status || a.passed {
				t.Errorf("got %d, passed on: %t; want %d", a.Code, a.passed, tc.reason.status)
			}
			if got := testutil.ToFloat64(f.metrics.deliveries.WithLabelValues(tc.reason.name, "")); got != 1 {
				t.Errorf("metric %s: got %v", tc.reason.name, got)
			}
			lines := f.logs.FilterMessage("request refused").All()
			if len(lines) != 1 {
				t.Fatalf("got %d log lines", len(lines))
			}
			detail := lines[0].ContextMap()["detail"].(string)
			if !strings.Contains(detail, tc.says) || len(detail) > 1500 {
				t.Errorf("the log does not say %q: %s", tc.says, detail)
			}
		})
	}
}

func TestClientCertNames(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Root")
	f := newFixture(t, func(h *Handler) {
		h.ClientCert = &ClientCert{TrustPoolRaw: testpki.TrustPool(t, root), CommonNames: []string{"a.example.com", "b.example.com"}}
	})
	for name, want := range map[string]int{"a.example.com": 200, "b.example.com": 200, meta.ClientCommonName: 403} {
		r := newDelivery(testBody)
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{root.Issue(t, leafNamed(name)).Certificate}}
		if a := f.serve(t, r); a.Code != want {
			t.Errorf("%s: got %d, want %d", name, a.Code, want)
		}
	}
}

func TestClientCertOnVerification(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Root")
	for demanded, want := range map[bool]int{false: http.StatusOK, true: http.StatusForbidden} {
		f := newFixture(t, func(h *Handler) {
			h.ClientCert = &ClientCert{TrustPoolRaw: testpki.TrustPool(t, root), Verification: demanded}
		})
		query := "hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken
		if a := f.serve(t, newVerification(query)); a.Code != want {
			t.Errorf("verification %t, no certificate: got %d, want %d", demanded, a.Code, want)
		}
		r := newVerification(query)
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{root.Issue(t, leafNamed(meta.ClientCommonName)).Certificate}}
		if a := f.serve(t, r); a.Code != http.StatusOK {
			t.Errorf("verification %t, with certificate: got %d, want 200", demanded, a.Code)
		}
	}
}

// TestClientCertChainsAreVerifiedOnce checks that a chain is verified once, and
// again when that is long ago or a certificate has expired since.
func TestClientCertChainsAreVerifiedOnce(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Root")
	now := time.Now()
	soon := leafNamed(meta.ClientCommonName)
	soon.NotAfter = now.Add(chainLife / 2)
	long, short, other := root.Issue(t, leafNamed(meta.ClientCommonName)), root.Issue(t, soon), root.Issue(t, leafNamed("other"))
	var cache chainCache
	verified := 0
	ask := func(at time.Time, result *rejection, certs ...*testpki.Cert) *rejection {
		chain := make([]*x509.Certificate, len(certs))
		for i, c := range certs {
			chain[i] = c.Certificate
		}
		return cache.verify(chain, at, func() *rejection { verified++; return result })
	}
	no := certWrongName.withCause(nil)
	for i, tc := range []struct {
		at    time.Duration
		chain []*testpki.Cert
		says  *rejection
		want  *rejection
		times int
	}{
		{0, []*testpki.Cert{long}, nil, nil, 1},
		{0, []*testpki.Cert{long}, no, nil, 1}, // known
		{0, []*testpki.Cert{long, root}, no, no, 2},
		{0, []*testpki.Cert{other}, no, no, 3},
		{0, []*testpki.Cert{other}, nil, no, 3}, // known
		{0, []*testpki.Cert{short}, nil, nil, 4},
		{chainLife/2 + time.Second, []*testpki.Cert{short}, no, no, 5}, // it has expired
		{chainLife - time.Second, []*testpki.Cert{long}, no, nil, 5},
		{chainLife, []*testpki.Cert{long}, no, no, 6}, // it was verified long ago
	} {
		if got := ask(now.Add(tc.at), tc.says, tc.chain...); got != tc.want || verified != tc.times {
			t.Errorf("question %d: got %v after %d verifications, want %v after %d", i, got, verified, tc.want, tc.times)
		}
	}
	for range 2 * maxChains {
		key := hashChain([]*x509.Certificate{long.Certificate})
		long.Raw = append(long.Raw[:len(long.Raw):len(long.Raw)], key[0], key[1], key[2], key[3])
		ask(now, nil, long)
	}
	if len(cache.chains) > maxChains {
		t.Errorf("%d chains are kept", len(cache.chains))
	}
}

func TestClientCertWarnsOfExpiry(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	now := time.Now()
	ca := func(name string, left time.Duration) *x509.Certificate {
		return testpki.NewCA(t, name, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.Add(-1000*24*time.Hour), now.Add(left)
		}).Certificate
	}
	day := 24 * time.Hour
	warnOfExpiry(zap.New(core), []*x509.Certificate{
		ca("long", 61*day), ca("soon", 59*day), ca("tomorrow", day), ca("gone", -day),
	}, now)
	var got []string
	for _, entry := range logs.All() {
		verb := "expires soon"
		if strings.Contains(entry.Message, "has expired") {
			verb = "has expired"
		}
		got = append(got, entry.ContextMap()["subject"].(string)+" "+verb)
	}
	if want := "CN=soon expires soon,CN=tomorrow expires soon,CN=gone has expired"; strings.Join(got, ",") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestClientCertProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cert *ClientCert
		want string
	}{
		{"no pool", &ClientCert{}, "a trust_pool is needed"},
		{"empty pool", &ClientCert{TrustPoolRaw: json.RawMessage(`{"provider":"inline"}`)}, "holds no CA certificate"},
		{"unknown source", &ClientCert{TrustPoolRaw: json.RawMessage(`{"provider":"nonesuch"}`)}, "nonesuch"},
		{"missing file", &ClientCert{TrustPoolRaw: json.RawMessage(`{"provider":"file","pem_files":["/nonexistent/ca.pem"]}`)}, "/nonexistent/ca.pem"},
		{"empty name", &ClientCert{TrustPoolRaw: testpki.TrustPool(t, testpki.NewCA(t, "Root")), CommonNames: []string{""}}, "common_name 1"},
		{"unset name", &ClientCert{TrustPoolRaw: testpki.TrustPool(t, testpki.NewCA(t, "Root")), CommonNames: []string{"{env.UNSET_COMMON_NAME}"}}, "UNSET_COMMON_NAME"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			h := &Handler{VerifyTokens: []string{"t"}, AppSecrets: []AppSecret{{Secret: testSecret}}, ClientCert: tc.cert}
			if err := h.Provision(ctx); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}
