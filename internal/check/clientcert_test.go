package check

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/handler"
)

// TestClientCertificates combines what TLS does, what the handler demands and
// what is presented.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	const demands, ignores = true, false
	signing := deliveryChecks[1:]
	for name, test := range map[string]struct {
		auth             tls.ClientAuthType
		handler          bool
		present          string // "", "right" or "wrong"
		old              bool   // TLS 1.2
		faults, warnings []string
		skipped          []string
		says             string // by client_cert
	}{
		"asked and demanded, none":        {auth: tls.RequestClientCert, handler: demands, skipped: signing, says: "are refused (status 403"},
		"asked and demanded, right":       {auth: tls.RequestClientCert, handler: demands, present: "right", says: "are refused (status 403"},
		"asked and demanded, wrong":       {auth: tls.RequestClientCert, handler: demands, present: "wrong", faults: []string{DeliverySigned}, skipped: []string{DeliveryUnchanged, DeliveryLarge}, says: "are refused"},
		"asked, not demanded, none":       {auth: tls.RequestClientCert, handler: ignores, warnings: []string{ClientCert}, says: "without one are accepted"},
		"asked, not demanded, right":      {auth: tls.RequestClientCert, handler: ignores, present: "right", warnings: []string{ClientCert}, says: "without one are accepted"},
		"not asked, right":                {auth: tls.NoClientCert, handler: ignores, present: "right", warnings: []string{ClientCert}, says: "is not asked for"},
		"not asked, but demanded":         {auth: tls.NoClientCert, handler: demands, faults: []string{DeliverySigned}, skipped: []string{DeliveryUnchanged, DeliveryLarge}, says: "No client certificate is asked for"},
		"demanded by TLS, none":           {auth: tls.RequireAndVerifyClientCert, handler: demands, warnings: []string{ClientCert}, skipped: without(outside[6:], ClientCert), says: "for each request"},
		"demanded by TLS 1.2, none":       {auth: tls.RequireAndVerifyClientCert, handler: demands, old: true, warnings: []string{ClientCert}, skipped: without(outside[6:], ClientCert), says: "for each request"},
		"demanded by TLS, wrong":          {auth: tls.RequireAndVerifyClientCert, handler: ignores, present: "wrong", faults: []string{ClientCert}, skipped: without(outside[6:], ClientCert), says: "TLS refuses"},
		"demanded by TLS, right":          {auth: tls.RequireAndVerifyClientCert, handler: demands, present: "right", says: "are refused ("},
		"demanded by TLS 1.2, right":      {auth: tls.RequireAndVerifyClientCert, handler: demands, old: true, present: "right", says: "are refused ("},
		"demanded by TLS only, and right": {auth: tls.RequireAndVerifyClientCert, handler: ignores, present: "right", says: "are refused ("},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.Graph = nil
			ca := newCA(t, nil, "Meta's")
			c.tls.ClientAuth, c.tls.ClientCAs = test.auth, ca.pool()
			if test.old {
				c.tls.MaxVersion = tls.VersionTLS12
			}
			if test.handler == demands {
				c.serve = newReceiver(t, func(h *handler.Handler) { h.ClientCert = &handler.ClientCert{TrustPoolRaw: ca.trustPool(t)} })
			}
			switch test.present {
			case "right":
				c.Certificate = ca.client(t)
			case "wrong":
				c.Certificate = newCA(t, nil, "Somebody's").client(t)
			}
			r := c.run()
			r.expect(t, test.faults, test.warnings)
			if f := r.find(t, ClientCert); !strings.Contains(f.Text, test.says) {
				t.Errorf("it says %q", f.Text)
			}
			want := append(append([]string{Config}, test.skipped...), Deauthorize, Deletion, Token, Subscription)
			if got := r.with(Skipped); !slices.Equal(got, want) {
				t.Errorf("skipped %q, want %q", got, want)
			}
		})
	}
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

func TestExpiredIntermediate(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	long := func(cert *x509.Certificate) {
		cert.NotBefore, cert.NotAfter = c.root.NotBefore, c.root.NotAfter
	}
	between := newCAUntil(t, c.root, "Old", time.Now().Add(-time.Hour))
	c.tls = present(with(between.server(t, long), between))
	r := c.run()
	r.expect(t, []string{CertificateExpiry}, nil)
	if f := r.find(t, CertificateExpiry); !strings.Contains(f.Text, "CN=Old") {
		t.Errorf("it says %q", f.Text)
	}
}
