package handler

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// authority is a CA, or an intermediate, of the tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue makes a certificate; nil issues itself.
func (a *authority) issue(t testing.TB, template x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(365 * 24 * time.Hour)
	}
	template.BasicConstraintsValid = true
	if template.IsCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	parent, signer := &template, crypto.Signer(key)
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func newAuthority(t testing.TB, name string) *authority {
	return (*authority)(nil).issue(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true})
}

func leafNamed(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}}
}

// inlinePool is the config of a trust pool that holds these authorities.
func inlinePool(t testing.TB, cas ...*authority) json.RawMessage {
	t.Helper()
	ders := make([]string, len(cas))
	for i, ca := range cas {
		ders[i] = base64.StdEncoding.EncodeToString(ca.cert.Raw)
	}
	raw, err := json.Marshal(map[string]any{"provider": "inline", "trusted_ca_certs": ders})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestClientCert(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "Outbound Root")
	second := newAuthority(t, "Next Outbound Root")
	middle := root.issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "Outbound Issuer"}, IsCA: true})
	stranger := newAuthority(t, "Strange Root")
	expiredMiddle := root.issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "Old Issuer"}, IsCA: true, NotAfter: time.Now().Add(-time.Minute)})
	notCA := root.issue(t, leafNamed("not-a-ca.example.com"))

	old := leafNamed(DefaultCommonName)
	old.NotAfter = time.Now().Add(-time.Minute)
	young := leafNamed(DefaultCommonName)
	young.NotBefore = time.Now().Add(time.Hour)
	server := leafNamed(DefaultCommonName)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := leafNamed(DefaultCommonName)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	inSAN := leafNamed("someone-else.example.com")
	inSAN.DNSNames = []string{DefaultCommonName}
	inOU := x509.Certificate{Subject: pkix.Name{OrganizationalUnit: []string{DefaultCommonName}}}
	long := leafNamed(strings.Repeat("x", 5000))

	chain := func(certs ...*authority) *tls.ConnectionState {
		state := &tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13}
		for _, c := range certs {
			state.PeerCertificates = append(state.PeerCertificates, c.cert)
		}
		return state
	}
	good := root.issue(t, leafNamed(DefaultCommonName))
	early := chain(good)
	early.HandshakeComplete = false

	for _, tc := range []struct {
		name   string
		tls    *tls.ConnectionState
		reason *reason
		says   string
	}{
		{"root and leaf", chain(good), nil, ""},
		{"leaf of the next root", chain(second.issue(t, leafNamed(DefaultCommonName))), nil, ""},
		{"with intermediate", chain(middle.issue(t, leafNamed(DefaultCommonName)), middle), nil, ""},
		{"with the root too", chain(middle.issue(t, leafNamed(DefaultCommonName)), middle, root), nil, ""},
		{"client usage", chain(root.issue(t, client)), nil, ""},
		{"server usage only", chain(root.issue(t, server)), nil, ""},
		{"no TLS", nil, &certNoTLS, "not come over TLS"},
		{"early data", early, &certEarlyData, "0-RTT"},
		{"none", chain(), &certNotRequested, "client_auth { mode request }"},
		{"intermediate not sent", chain(middle.issue(t, leafNamed(DefaultCommonName))), &certUnknownIssuer, `unknown issuer "CN=Outbound Issuer"`},
		{"self-signed", chain((*authority)(nil).issue(t, leafNamed(DefaultCommonName))), &certUnknownIssuer, "unknown issuer"},
		{"another CA", chain(stranger.issue(t, leafNamed(DefaultCommonName))), &certUnknownIssuer, `unknown issuer "CN=Strange Root"`},
		{"another CA of the same name", chain(newAuthority(t, "Outbound Root").issue(t, leafNamed(DefaultCommonName))), &certUnknownIssuer, "unknown issuer"},
		{"issuer is no CA", chain(notCA.issue(t, leafNamed(DefaultCommonName)), notCA), &certUnknownIssuer, "cannot sign"},
		{"expired", chain(root.issue(t, old)), &certExpired, "expired on " + old.NotAfter.UTC().Format("2006-01-02")},
		{"expired intermediate", chain(expiredMiddle.issue(t, leafNamed(DefaultCommonName)), expiredMiddle), &certExpired, `"CN=Old Issuer" expired on`},
		{"not yet valid", chain(root.issue(t, young)), &certNotYetValid, "not valid before"},
		{"suffix", chain(root.issue(t, leafNamed(DefaultCommonName+".evil.example"))), &certWrongName, `wrong CN "client.webhooks.fbclientcerts.com.evil.example"`},
		{"prefix", chain(root.issue(t, leafNamed("x"+DefaultCommonName))), &certWrongName, "wrong CN"},
		{"upper case", chain(root.issue(t, leafNamed(strings.ToUpper(DefaultCommonName)))), &certWrongName, "wrong CN"},
		{"wildcard", chain(root.issue(t, leafNamed("*.webhooks.fbclientcerts.com"))), &certWrongName, "wrong CN"},
		{"trailing dot", chain(root.issue(t, leafNamed(DefaultCommonName+"."))), &certWrongName, "wrong CN"},
		{"zero byte", chain(root.issue(t, leafNamed(DefaultCommonName+"\x00"))), &certWrongName, "wrong CN"},
		{"name only in SAN", chain(root.issue(t, inSAN)), &certWrongName, "wrong CN"},
		{"name only in OU", chain(root.issue(t, inOU)), &certWrongName, `wrong CN ""`},
		{"long name", chain(root.issue(t, long)), &certWrongName, "…"},
		{"long chain", chain(good, root, root, root, root, root), &certInvalid, "6 certificates"},
		{"right leaf second", chain(root.issue(t, leafNamed("other.example.com")), good), &certWrongName, "wrong CN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(h *Handler) {
				h.ClientCert = &ClientCert{TrustPoolRaw: inlinePool(t, root, second)}
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
	root := newAuthority(t, "Root")
	f := newFixture(t, func(h *Handler) {
		h.ClientCert = &ClientCert{TrustPoolRaw: inlinePool(t, root), CommonNames: []string{"a.example.com", "b.example.com"}}
	})
	for name, want := range map[string]int{"a.example.com": 200, "b.example.com": 200, DefaultCommonName: 403} {
		r := newDelivery(testBody)
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{root.issue(t, leafNamed(name)).cert}}
		if a := f.serve(t, r); a.Code != want {
			t.Errorf("%s: got %d, want %d", name, a.Code, want)
		}
	}
}

func TestClientCertOnVerification(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "Root")
	for demanded, want := range map[bool]int{false: http.StatusOK, true: http.StatusForbidden} {
		f := newFixture(t, func(h *Handler) {
			h.ClientCert = &ClientCert{TrustPoolRaw: inlinePool(t, root), Verification: demanded}
		})
		query := "hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken
		if a := f.serve(t, newVerification(query)); a.Code != want {
			t.Errorf("verification %t, no certificate: got %d, want %d", demanded, a.Code, want)
		}
		r := newVerification(query)
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{root.issue(t, leafNamed(DefaultCommonName)).cert}}
		if a := f.serve(t, r); a.Code != http.StatusOK {
			t.Errorf("verification %t, with certificate: got %d, want 200", demanded, a.Code)
		}
	}
}

// TestClientCertVerdicts holds that a chain is verified once, and again when its
// verdict is old or its validity has turned.
func TestClientCertVerdicts(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, "Root")
	now := time.Now()
	soon := leafNamed(DefaultCommonName)
	soon.NotAfter = now.Add(verdictLife / 2)
	long, short, other := root.issue(t, leafNamed(DefaultCommonName)), root.issue(t, soon), root.issue(t, leafNamed("other"))
	var v verdicts
	judged := 0
	ask := func(at time.Time, result *refusal, certs ...*authority) *refusal {
		chain := make([]*x509.Certificate, len(certs))
		for i, c := range certs {
			chain[i] = c.cert
		}
		return v.of(chain, at, func() *refusal { judged++; return result })
	}
	no := certWrongName.because(nil)
	for i, tc := range []struct {
		at    time.Duration
		chain []*authority
		says  *refusal
		want  *refusal
		times int
	}{
		{0, []*authority{long}, nil, nil, 1},
		{0, []*authority{long}, no, nil, 1}, // known
		{0, []*authority{long, root}, no, no, 2},
		{0, []*authority{other}, no, no, 3},
		{0, []*authority{other}, nil, no, 3}, // known
		{0, []*authority{short}, nil, nil, 4},
		{verdictLife/2 + time.Second, []*authority{short}, no, no, 5}, // it has expired
		{verdictLife - time.Second, []*authority{long}, no, nil, 5},
		{verdictLife, []*authority{long}, no, no, 6}, // the verdict is old
	} {
		if got := ask(now.Add(tc.at), tc.says, tc.chain...); got != tc.want || judged != tc.times {
			t.Errorf("question %d: got %v after %d judgements, want %v after %d", i, got, judged, tc.want, tc.times)
		}
	}
	for range 2 * maxVerdicts {
		key := fingerprint([]*x509.Certificate{long.cert})
		long.cert.Raw = append(long.cert.Raw[:len(long.cert.Raw):len(long.cert.Raw)], key[0], key[1], key[2], key[3])
		ask(now, nil, long)
	}
	if len(v.seen) > maxVerdicts {
		t.Errorf("%d verdicts are kept", len(v.seen))
	}
}

func TestClientCertWarnsOfExpiry(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	now := time.Now()
	ca := func(name string, left time.Duration) *x509.Certificate {
		return (*authority)(nil).issue(t, x509.Certificate{
			Subject: pkix.Name{CommonName: name}, IsCA: true,
			NotBefore: now.Add(-1000 * 24 * time.Hour), NotAfter: now.Add(left),
		}).cert
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
		{"empty name", &ClientCert{TrustPoolRaw: inlinePool(t, newAuthority(t, "Root")), CommonNames: []string{""}}, "common_name 1"},
		{"unset name", &ClientCert{TrustPoolRaw: inlinePool(t, newAuthority(t, "Root")), CommonNames: []string{"{env.UNSET_COMMON_NAME}"}}, "UNSET_COMMON_NAME"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			h := &Handler{VerifyTokens: []string{"t"}, AppSecrets: []AppSecret{{Secret: "s"}}, ClientCert: tc.cert}
			if err := h.Provision(ctx); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}
