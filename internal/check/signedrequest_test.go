package check

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// withSigned serves the real handlers of both callbacks, beside what is served, and
// returns the users that events came of.
func (c *fixture) withSigned() (users *[]string) {
	c.t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: c.t.Context()})
	c.t.Cleanup(cancel)
	users = new([]string)
	handlers := map[string]*signedrequest.Handler{
		"/meta/deauthorize": {Kind: signedrequest.Deauthorize},
		"/meta/deletion":    {Kind: signedrequest.Deletion, StatusURL: "https://" + host + "/meta/deletion/{code}"},
	}
	for _, h := range handlers {
		h.AppSecrets = []appsecret.AppSecret{{Secret: secret}}
		if err := h.Provision(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
	c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		path := r.URL.Path
		if strings.HasPrefix(path, "/meta/deletion/") {
			path = "/meta/deletion"
		}
		h := handlers[path]
		if h == nil {
			next.ServeHTTP(w, r)
			return
		}
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			d := event.FromContext(r.Context())
			*users = append(*users, d.Events()[0].Account)
			d.Accept()
			return nil
		})); err != nil {
			w.WriteHeader(httperror.Status(err))
		}
	})
	return users
}

const (
	deauthorizeURL = "https://" + host + "/meta/deauthorize"
	deletionURL    = "https://" + host + "/meta/deletion"
)

func TestSignedCallbacks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change           func(c *fixture)
		faults, warnings []string
		says             string
	}{
		"well":        {func(*fixture) {}, nil, nil, "An authentic request is answered with 200 and a page that can be seen"},
		"other path":  {func(c *fixture) { c.DeletionURL = "https://" + host + "/elsewhere" }, []string{Deletion, Deletion}, nil, "answered with 200: anybody"},
		"wrong kind":  {func(c *fixture) { c.DeletionURL = deauthorizeURL }, []string{Deletion}, nil, "no JSON with url"},
		"not a URL":   {func(c *fixture) { c.DeauthorizeURL = "hooks" }, []string{Deauthorize}, nil, "The URL of --deauthorize-url must begin with https://"},
		"unencrypted": {func(c *fixture) { c.DeauthorizeURL = "http://" + host + "/x" }, []string{Deauthorize}, nil, "not sent unencrypted"},
		"no page": {func(c *fixture) {
			c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.HasPrefix(r.URL.Path, "/meta/deletion/") {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				next.ServeHTTP(w, r)
			})
		}, []string{Deletion}, nil, "is answered with 404, not with 200"},
		"no deliveries":               {func(c *fixture) { c.NoDeliveries = true }, nil, nil, "It answers (status 405)"},
		"no deliveries, another path": {func(c *fixture) { c.NoDeliveries, c.DeletionURL = true, "https://"+host+"/none" }, nil, []string{Deletion}, "instagram_signed_request answers 405"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				switch r.URL.Path {
				case "/elsewhere": // nothing takes it
				case "/none":
					w.WriteHeader(http.StatusNotFound)
				default:
					next.ServeHTTP(w, r)
				}
			})
			c.withSigned()
			c.DeauthorizeURL, c.DeletionURL = deauthorizeURL, deletionURL
			tc.change(c)
			r := c.run()
			r.expect(t, tc.faults, tc.warnings)
			var all []string
			for _, f := range r.Findings {
				all = append(all, f.Text)
			}
			if text := strings.Join(all, "\n"); !strings.Contains(text, tc.says) {
				t.Errorf("no %q in\n%s", tc.says, text)
			}
		})
	}
}

// TestSignedCallbacksOfConfig finds the URLs and the secrets in a config. It is not
// parallel, as all tests of configs.
func TestSignedCallbacksOfConfig(t *testing.T) {
	for name, routes := range map[string]string{
		"handle": `
	handle /meta/deauthorize {
		instagram_signed_request deauthorize {
			app_secret {env.IG_APP_SECRET}
		}
		respond taken
	}
	handle /meta/deletion* {
		instagram_signed_request deletion {
			app_secret {env.IG_APP_SECRET}
			status_url https://hooks.example.com/meta/deletion/{code}
		}
		respond taken
	}`,
		"handle_path and several paths": `
	handle_path /meta/* {
		instagram_signed_request /deauthorize deauthorize {
			app_secret {env.IG_APP_SECRET}
		}
		@deletion path /deletion/* /deletion
		instagram_signed_request @deletion deletion {
			app_secret {env.IG_APP_SECRET}
			status_url https://hooks.example.com/meta/deletion/{code}
		}
		respond taken
	}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := configured(t, strings.Replace(noClientCert, "\thandle /elsewhere {", routes+"\n\thandle /elsewhere {", 1))
			users := c.withSigned()
			r := c.run()
			r.expect(t, nil, nil)
			for check, want := range map[string]string{Deauthorize: deauthorizeURL, Deletion: deletionURL} {
				if f := r.find(t, check); f.Status != OK || f.Subject != "secret1, "+want {
					t.Errorf("%+v", f)
				}
			}
			if len(*users) != 4 || (*users)[0] != "0" {
				t.Errorf("events of %q", *users)
			}
		})
	}
	t.Run("anywhere", func(t *testing.T) {
		c, _ := configured(t, strings.Replace(noClientCert, "\thandle /elsewhere {", `
	@odd header X-Odd 1
	instagram_signed_request @odd deauthorize {
		app_secret {env.IG_APP_SECRET}
	}
	handle /elsewhere {`, 1))
		if f := c.run().find(t, Deauthorize); f.Status != Skipped || !strings.Contains(f.Text, "--deauthorize-url") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("secret unset", func(t *testing.T) {
		c, dir := configured(t, noClientCert)
		text, err := os.ReadFile(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		c.write(filepath.Join(dir, "Caddyfile"), strings.Replace(string(text), "\thandle /elsewhere {", `
	handle /meta/deauthorize {
		instagram_signed_request deauthorize {
			app_secret {env.IG_NOT_SET}
		}
	}
	handle /elsewhere {`, 1))
		c.run().expect(t, []string{ConfigSecrets}, nil)
	})
}

// TestSignedCallbackOfOtherHost prefers the callback of the site that is checked.
func TestSignedCallbackOfOtherHost(t *testing.T) {
	t.Parallel()
	here, _ := url.Parse("https://" + host + "/webhooks")
	r := &run{url: here, setup: &setup{signed: []signedHandler{
		{kind: Deletion, url: "https://other.example.com/deletion"},
		{kind: Deletion, url: deletionURL},
		{kind: Deauthorize, url: "https://other.example.com/deauthorize"},
	}}}
	if h := r.signedHandlerOf(Deletion); h == nil || h.url != deletionURL {
		t.Errorf("%+v", h)
	}
	if h := r.signedHandlerOf(Deauthorize); h == nil || h.url != "https://other.example.com/deauthorize" {
		t.Errorf("%+v", h)
	}
}
