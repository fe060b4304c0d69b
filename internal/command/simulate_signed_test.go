package command_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// callbacks <app secret> [open|untaken|hidden] serves the handlers of the deauthorize and
// the data deletion request callback over TLS. It writes its CA to ca.pem, and sets
// CALLBACKS_URL. They accept everything, or nobody takes the events, or the page of a
// deletion is not there.
func startCallbacks(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: callbacks <app secret> [open|untaken|hidden]")
	}
	harm := append(args, "")[1]
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o600))
	ts.Setenv("CALLBACKS_URL", server.URL)

	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	ts.Defer(cancel)
	secrets := []appsecret.AppSecret{{Secret: args[0]}}
	deauthorize := &signedrequest.Handler{Kind: signedrequest.Deauthorize, AppSecrets: secrets}
	deletion := &signedrequest.Handler{Kind: signedrequest.Deletion, AppSecrets: secrets, StatusURL: server.URL + "/deletion/{code}"}
	ts.Check(deauthorize.Provision(ctx))
	ts.Check(deletion.Provision(ctx))
	taken := http.StatusOK
	if harm == "untaken" {
		taken = http.StatusServiceUnavailable
	}
	serve := func(h caddyhttp.MiddlewareHandler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if harm == "open" {
				return
			}
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
			if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(taken)
				return nil
			})); err != nil {
				w.WriteHeader(httperror.Status(err))
			}
		}
	}
	mux.HandleFunc("/deauthorize", serve(deauthorize))
	mux.HandleFunc("/deletion", serve(deletion))
	if harm != "hidden" {
		mux.HandleFunc("/deletion/", serve(deletion))
	}
}
