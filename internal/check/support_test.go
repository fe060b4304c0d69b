package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks/caddyfile"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
	_ "github.com/caddy-instagram/webhooks/matcher"
)

const (
	verifyToken = "verify-s3cr3t"
	secret      = "5ec4e70123456789abcdef0123456789"
	otherSecret = "5ec4e7fedcba98765432100123456789" // the handler knows it too
	accessToken = "IGAA-s3cr3t"
	pageToken   = "EAAB-s3cr3t"
	systemToken = "EAAU-s3cr3t"
	accountID   = "17841400000000001"
	pageID      = "100000000000001"
	appID       = "1234567890"
)

// TestMain keeps what the tests write out of the data directory of who runs
// them.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "instagram-check")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		if err := os.Setenv(name, filepath.Join(dir, name)); err != nil {
			log.Fatal(err)
		}
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// receiver is the real handler, with an application behind it that takes all.
type receiver struct {
	t       testing.TB
	handler handler.Handler
	server  caddyhttp.Server
	events  func([]event.Event)
	answer  func(http.ResponseWriter) // that of the application; nil: 200
}

func newReceiver(t testing.TB, adjust ...func(*handler.Handler)) *receiver {
	t.Helper()
	r := &receiver{t: t, handler: handler.Handler{
		VerifyTokens: []string{verifyToken},
		AppSecrets:   []handler.AppSecret{{Name: "other", Secret: otherSecret}, {Name: "instagram", Secret: secret}},
	}}
	for _, a := range adjust {
		a(&r.handler)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := r.handler.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req = caddyhttp.PrepareRequest(req, caddy.NewReplacer(), w, &r.server)
	err := r.handler.ServeHTTP(w, req, caddyhttp.HandlerFunc(func(w http.ResponseWriter, req *http.Request) error {
		if r.events != nil {
			r.events(event.FromContext(req.Context()).Events())
		}
		if r.answer != nil {
			r.answer(w)
		} else {
			w.WriteHeader(http.StatusOK)
		}
		return nil
	}))
	if err != nil {
		r.t.Errorf("an error left the handler: %v", err)
	}
}

// fixture is a Checker with what it looks at.
type fixture struct {
	*Checker
	t     *testing.T
	root  *issuer
	tls   *tls.Config
	serve http.Handler
	meta  *graphtest.Server
}

// newFixture returns a fixture in which everything is right.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	root := newCA(t, nil, "Root")
	between := newCA(t, root, "Intermediate")
	meta := newMeta()
	return &fixture{
		t:     t,
		root:  root,
		tls:   &tls.Config{Certificates: []tls.Certificate{*with(between.server(t, nil), between)}},
		serve: newReceiver(t),
		meta:  meta,
		Checker: &Checker{
			URL: "https://" + host + "/webhooks", VerifyToken: verifyToken, AppSecret: secret, Roots: root.pool(),
			Graph:   &graph.Client{Token: accessToken, HTTP: meta.Client(), MaxWait: -1},
			Account: accountID, Fields: []string{"comments", "messages"},
			lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("::ffff:203.0.113.8")}, nil
			},
		},
	}
}

func newMeta() *graphtest.Server {
	fields := []string{"comments", "messages"}
	return graphtest.New(graphtest.State{
		Apps: []*graphtest.App{{ID: appID, Secret: secret}},
		Accounts: []*graphtest.Account{
			{ID: accountID, Name: "gardens", Subscribed: map[string][]string{appID: fields}},
			{ID: pageID, Name: "Gardens", Subscribed: map[string][]string{appID: fields, "777": {"feed"}}},
		},
		Tokens: []*graphtest.Token{
			{Value: accessToken, App: appID, Account: accountID},
			{Value: pageToken, App: appID, Account: pageID, Facebook: true},
			{Value: systemToken, App: appID, Account: accountID, Unified: true},
		},
	})
}

// wrap puts something before what is served.
func (c *fixture) wrap(before func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	next := c.serve
	c.serve = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { before(w, r, next) })
}

// run starts the server and makes the checks.
func (c *fixture) run() *Report {
	c.t.Helper()
	server := httptest.NewUnstartedServer(c.serve)
	server.Config.ErrorLog = log.New(testWriter{c.t}, "", 0)
	if c.tls == nil {
		server.Start()
	} else {
		server.TLS = c.tls
		server.StartTLS()
	}
	defer server.Close()
	if c.dial == nil {
		c.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		}
	}
	return c.examine()
}

// examine makes the checks, and looks for secrets in the report.
func (c *fixture) examine() *Report {
	c.t.Helper()
	var found []Finding
	c.OnFinding = func(f Finding) { found = append(found, f) }
	report, err := c.Run(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Equal(found, report.Findings) {
		c.t.Error("not every finding was told")
	}
	text, err := json.Marshal(report)
	if err != nil {
		c.t.Fatal(err)
	}
	if strings.Contains(string(text), "s3cr3t") || strings.Contains(string(text), "5ec4e7") {
		c.t.Errorf("a secret stands in %s", text)
	}
	for _, f := range report.Findings {
		if !slices.Contains(Checks(), f.Check) || f.Text == "" || (f.Advice == "") != (f.Status == OK || f.Status == Skipped) {
			c.t.Errorf("finding %+v", f)
		}
	}
	return report
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Logf("server: %s", line)
	return len(line), nil
}

// with returns the names of the checks with a status.
func (r *Report) with(s Status) []string {
	var names []string
	for _, f := range r.Findings {
		if f.Status == s {
			names = append(names, f.Check)
		}
	}
	return names
}

// find returns what a check found.
func (r *Report) find(t *testing.T, check string) Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == check })
	if i < 0 {
		t.Fatalf("no finding of %s in %+v", check, r.Findings)
	}
	return r.Findings[i]
}

// expect fails if other checks than these found faults, or warnings.
func (r *Report) expect(t *testing.T, faults, warnings []string) {
	t.Helper()
	for status, want := range map[Status][]string{Fault: faults, Warning: warnings} {
		if got := r.with(status); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", status, got, want)
		}
	}
	if t.Failed() {
		for _, f := range r.Findings {
			t.Logf("%-8s %s %s: %s %s", f.Status, f.Check, f.Subject, f.Text, f.Advice)
		}
	}
}
