package e2e

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// TestOverviewOfWhatExpires has a gateway with an access token, a certificate of its site and a
// CA of Meta's client certificate. The overview tells when each ends, the next first.
func TestOverviewOfWhatExpires(t *testing.T) {
	t.Parallel()
	meta := graphtest.New(graphtest.State{
		Accounts: []*graphtest.Account{{ID: watchedAccount, Subscribed: map[string][]string{"1": {"comments"}}}},
		Tokens:   []*graphtest.Token{{Value: watchedToken, App: "1", Account: watchedAccount}},
	})
	server := httptest.NewServer(meta)
	defer server.Close()
	c := harness.NewSecured(t, "IG_TOKEN_KEY="+tokenKey)
	c.Options += fmt.Sprintf("\ninstagram {\ntoken_key {env.IG_TOKEN_KEY}\naccount %s {\ntoken managed\nfields comments\ngraph_url %s\n}\n}", watchedAccount, server.URL)
	ca := testpki.NewCA(t, "Outbound API root")
	c.Serve(t, `tls {
		client_auth {
			mode request
		}
	}
	handle /webhooks {
		instagram_webhook {
			verify_token x
			app_secret %s
			client_cert {
				trust_pool file %q
			}
		}
		respond ok
	}`, harness.Secret, c.Write(t, "ca.pem", string(testpki.PEM(ca))))
	expiries := func() map[admin.Expiring]admin.Expiry {
		t.Helper()
		var overview admin.Overview
		if text := c.AdminGet(t, "/instagram/overview"); json.Unmarshal([]byte(text), &overview) != nil {
			t.Fatal(text)
		}
		all := make(map[admin.Expiring]admin.Expiry)
		for i, e := range overview.Expiries {
			if all[e.What] = e; i > 0 && e.At.Before(overview.Expiries[i-1].At) {
				t.Errorf("%+v comes after %+v", e, overview.Expiries[i-1])
			}
		}
		if len(all) != len(overview.Expiries) {
			t.Errorf("what expires is %+v", overview.Expiries)
		}
		return all
	}

	harness.Wait(t, "the certificate of the site to be shown", func() bool { return !expiries()[admin.Certificate].At.IsZero() })
	all := expiries()
	certificate, root := all[admin.Certificate], all[admin.ClientCA]
	if certificate.Name != c.Name || certificate.Soon || !certificate.At.After(time.Now()) {
		t.Errorf("the certificate of %s is %+v", c.Name, certificate)
	}
	if root.Name != "Outbound API root" || !root.At.Equal(ca.NotAfter) {
		t.Errorf("the CA is %+v, want one that ends at %s", root, ca.NotAfter)
	}
	if token, known := all[admin.Token]; known {
		t.Errorf("the token is %+v before there is one", token)
	}
	if out, err := importToken(t, c.Caddy, watchedToken); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	harness.Wait(t, "the token to be shown", func() bool { return !expiries()[admin.Token].At.IsZero() })
	if token := expiries()[admin.Token]; token.Name != watchedAccount || token.Soon || !token.At.After(time.Now()) {
		t.Errorf("the token is %+v", token)
	}
}
