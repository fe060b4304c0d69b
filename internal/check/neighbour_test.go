package check

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestNothingBesideTheURLIsSwallowed has a site that answers other paths, or
// other hosts, with 200 though nobody takes what comes there.
func TestNothingBesideTheURLIsSwallowed(t *testing.T) {
	t.Parallel()
	const caddy, application = "Caddy", "application"
	for name, test := range map[string]struct {
		path, host   bool // beside which 200 is answered
		from         string
		body         string
		noDeliveries bool
		warnings     []string
		says         string
	}{
		"path that nothing takes":      {path: true, from: caddy, warnings: []string{NeighbourPath}, says: "answered with an empty 200, as Caddy does where nothing takes a request"},
		"seen without deliveries":      {path: true, from: caddy, noDeliveries: true, warnings: []string{NeighbourPath}, says: "/webhooks/no-such-path and /webhooks/ "},
		"page":                         {path: true, from: caddy, body: "<html>", noDeliveries: true},
		"page that takes POST":         {path: true, from: caddy, body: "<html>", warnings: []string{NeighbourPath}, says: "without a signature"},
		"application that takes more":  {path: true, from: application, body: "ok", warnings: []string{NeighbourPath}, says: "the application answered 200"},
		"application, empty":           {path: true, from: application, warnings: []string{NeighbourPath}, says: "anybody can forge them"},
		"host that nothing takes":      {host: true, from: caddy},
		"host behind a proxy":          {host: true, from: "nginx", warnings: []string{NeighbourHost}, says: "proxy_set_header Host $host"},
		"host behind a proxy, by http": {host: true, from: caddy, warnings: []string{TLS, NeighbourHost}},
		"404 for the rest":             {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.Graph, c.NoDeliveries = nil, test.noDeliveries
			name := host
			if strings.HasSuffix(t.Name(), "by_http") {
				name = "localhost"
				c.URL, c.tls = "http://localhost/webhooks", nil
			}
			c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				otherPath, otherHost := r.URL.Path != "/webhooks", r.Host != name
				if !otherPath && !otherHost {
					next.ServeHTTP(w, r)
					return
				}
				if r.Method != http.MethodGet && test.noDeliveries {
					t.Errorf("there is a %s request", r.Method)
				}
				switch test.from {
				case application:
					w.Header().Set("Via", "1.1 Caddy")
				case "":
				default:
					w.Header().Set("Server", test.from)
				}
				if otherPath && test.path || otherHost && test.host {
					fmt.Fprint(w, test.body)
					return
				}
				w.WriteHeader(http.StatusNotFound)
			})
			r := c.run()
			r.expect(t, nil, test.warnings)
			if test.warnings != nil {
				f := r.find(t, test.warnings[0])
				if !strings.Contains(f.Text+f.Advice, test.says) {
					t.Errorf("it says %q %q", f.Text, f.Advice)
				}
			}
		})
	}
	// The words about another host are there even where they are no warning.
	c := newFixture(t)
	c.Graph = nil
	c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("Server", "Caddy")
		if r.Host == host {
			next.ServeHTTP(w, r)
		}
	})
	if f := c.run().find(t, NeighbourHost); f.Status != OK || !strings.Contains(f.Text, "an empty 200") {
		t.Errorf("%+v", f)
	}
}

// TestURLAsMetaSpellsIt has a + in the path, for which Meta sends a space.
func TestURLAsMetaSpellsIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		served string
		faults []string
	}{
		"both spellings are served": {"/webhooks/+15550123 /webhooks/ 15550123", nil},
		"only that of the URL":      {"/webhooks/+15550123", []string{Verification, DeliverySigned}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.Graph, c.URL = nil, "https://"+host+"/webhooks/+15550123"
			c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.Contains(test.served, r.URL.Path) {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				next.ServeHTTP(w, r)
			})
			r := c.run()
			r.expect(t, test.faults, []string{CallbackURL})
			if f := r.find(t, CallbackURL); !strings.Contains(f.Text, "%20") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestMessagesComeFromTheirOwnSender has a firewall that knows only one of the
// two names by which Meta's senders call themselves.
func TestMessagesComeFromTheirOwnSender(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.Graph = nil
	c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.UserAgent() == "facebookexternalua" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
	r := c.run()
	r.expect(t, []string{DeliveryUnchanged}, nil)
	if f := r.find(t, DeliveryUnchanged); !strings.Contains(f.Advice, "facebookexternalua") {
		t.Errorf("%+v", f)
	}
}
