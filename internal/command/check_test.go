package command_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/rogpeppe/go-internal/testscript"

	_ "github.com/caddy-instagram/webhooks"
	"github.com/caddy-instagram/webhooks/handler"
)

// site <verify token> <app secret> [<harm>] serves the real handler over TLS. It
// writes its CA to ca.pem, and sets SITE_URL.
func startSite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: site <verify token> <app secret> [<harm>]")
	}
	h := &handler.Handler{VerifyTokens: args[:1], AppSecrets: []handler.AppSecret{{Name: "instagram", Secret: args[1]}}}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	ts.Defer(cancel)
	ts.Check(h.Provision(ctx))
	serve := before(h, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	})
	right := serve
	switch harm := append(args, "")[2]; harm {
	case "":
	case "untaken":
		serve = before(h, func(http.ResponseWriter, *http.Request) error { return nil })
	case "login":
		serve = before(h, func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Via", "1.1 Caddy")
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusFound)
			return nil
		})
	case "open": // to everybody
		serve = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.FormValue("hub.challenge")) }
	case "html":
		serve = func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = io.WriteString(w, "<html>"+r.RequestURI+"</html>")
				return
			}
			right(w, r)
		}
	case "typed": // a challenge that is right, as HTML
		serve = func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("hub.verify_token") == args[0] {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, r.FormValue("hub.challenge"))
				return
			}
			right(w, r)
		}
	default:
		ts.Fatalf("unknown harm %s", harm)
	}
	server := httptest.NewTLSServer(serve)
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o600))
	ts.Setenv("SITE_URL", fmt.Sprintf("%s/webhooks", server.URL))
}

// before returns the handler with another one behind it.
func before(h *handler.Handler, next caddyhttp.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		_ = h.ServeHTTP(w, r, next) // it writes the answer to errors itself
	}
}
