package check

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestAddressThatLeadsToAnotherServer has an AAAA record that was forgotten: what
// stands there has no certificate for the host, or answers otherwise.
func TestAddressThatLeadsToAnotherServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		certificate func(c *fixture) *tls.Config
		says        string
	}{
		"other certificate": {func(c *fixture) *tls.Config { return present((*issuer)(nil).server(c.t, nil)) }, "2001:db8::7 (tls: "},
		"other site":        {func(c *fixture) *tls.Config { return c.tls.Clone() }, "2001:db8::7 (status 404)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.Graph = nil
			c.lookup = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")}, nil
			}
			right, other := httptest.NewUnstartedServer(c.serve), httptest.NewUnstartedServer(http.NotFoundHandler())
			right.TLS, other.TLS = c.tls, test.certificate(c)
			for _, server := range []*httptest.Server{right, other} {
				server.StartTLS()
				t.Cleanup(server.Close)
			}
			c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				to := right
				if strings.Contains(address, "2001:db8::7") {
					to = other
				}
				return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
			}
			r := c.examine()
			r.expect(t, nil, []string{Addresses})
			if f := r.find(t, Addresses); !strings.Contains(f.Text, test.says) {
				t.Errorf("it says %q", f.Text)
			}
		})
	}
}
