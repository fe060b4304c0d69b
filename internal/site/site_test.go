package site_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks/caddyfile"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/site"
)

const webhook = "\ninstagram_webhook {\n verify_token t\n app_secret 5ec4e70123456789abcdef0123456789\n}\nrespond 200\n"

// TestURLs has webhooks in all kinds of places.
func TestURLs(t *testing.T) {
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	for caddyfile, want := range map[string][]string{
		"hooks.example.com {\nroute /webhooks {" + webhook + "}\n}":                                     {"https://hooks.example.com/webhooks"},
		"hooks.example.com, www.example.com {" + webhook + "}":                                          {"https://hooks.example.com/", "https://www.example.com/"},
		"hooks.example.com:8443 {\nhandle /a* {" + webhook + "}\n}":                                     {"https://hooks.example.com:8443/a"},
		"{\nhttps_port 8443\n}\nhooks.example.com {" + webhook + "}":                                    {"https://hooks.example.com/"},
		"http://hooks.example.com {" + webhook + "}":                                                    {"https://hooks.example.com/"}, // TLS ends in front of it
		"http://127.0.0.1:8080 {\nhandle_path /x/* {\nroute /hook {" + webhook + "}\n}\n}":              {"http://127.0.0.1:8080/x/hook"},
		"http://[::1]:8080 {" + webhook + "}":                                                           {"http://[::1]:8080/"},
		":8080 {\n@h path /a /b\nroute @h {" + webhook + "}\n}":                                         {"http://localhost:8080/a", "http://localhost:8080/b"},
		"*.example.com:8443 {\ntls internal\n@h host hooks.example.com\nhandle @h {" + webhook + "}\n}": {"https://hooks.example.com:8443/"},
		"hooks.example.com {\nroute /a/* {\nroute /a/b {" + webhook + "}\n}\n}":                         {"https://hooks.example.com/a/b"},
		"&(n) {" + webhook + "}\nhooks.example.com {\ninvoke n\n}":                                      {"https://hooks.example.com/"},
		"&(n) {\ninvoke n\n}\nhooks.example.com {\ninvoke n\n}":                                         nil, // and it ends
		"hooks.example.com {\nrespond 404\n}":                                                           nil,
	} {
		var found []string
		site.VisitApp(provision(t, caddyfile), func(h caddyhttp.MiddlewareHandler, urls []string) {
			if _, ok := h.(*handler.Handler); ok {
				found = append(found, urls...)
			}
		})
		if !slices.Equal(found, want) {
			t.Errorf("%s: %q, want %q", caddyfile, found, want)
		}
	}
}

// provision returns the HTTP app of a config, which is not started.
func provision(t *testing.T, caddyfile string) *caddyhttp.App {
	t.Helper()
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatal(caddyfile, err)
	}
	config := new(caddy.Config)
	if err := json.Unmarshal(text, config); err != nil {
		t.Fatal(err)
	}
	config.Admin = &caddy.AdminConfig{Disabled: true}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		t.Fatal(caddyfile, err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	app, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	return app.(*caddyhttp.App)
}

// Nothing runs, so there is nothing to visit.
func TestNothingRuns(t *testing.T) {
	if all := site.Webhooks(); all != nil {
		t.Errorf("found %v", all)
	}
}
