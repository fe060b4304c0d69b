package check

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/inprocess"
)

// TestRunning has a Caddy examine itself, by its admin API.
func TestRunning(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	callback := "http://" + address + "/webhooks"
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, `{
	admin off
	auto_https off
}
http://%s {
	handle /webhooks {
		instagram_webhook {
			verify_token %s
			app_secret instagram %s
		}
		instagram_queue {
			store sqlite %q
			reverse_proxy 127.0.0.1:9
		}
	}
	respond 404
}`, address, verifyToken, secret, filepath.Join(t.TempDir(), "queue.db")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	ask := func(target string, status int) *inprocess.Response {
		t.Helper()
		answer := inprocess.Ask(new(admin.API).Handler(), httptest.NewRequest(http.MethodPost, target, nil))
		if answer.Status != status || strings.Contains(answer.Body.String(), "s3cr3t") || strings.Contains(answer.Body.String(), secret) {
			t.Fatalf("%s: %d %s", target, answer.Status, &answer.Body)
		}
		return answer
	}
	ask("/instagram/check?url=https%3A%2F%2Fevil.example%2Fwebhooks", http.StatusNotFound)

	var found struct {
		URL    string
		Report Report
	}
	if err := json.Unmarshal(ask("/instagram/check", http.StatusOK).Body.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	if found.URL != callback {
		t.Errorf("it examined %s", found.URL)
	}
	found.Report.find(t, DiskSpace)
	found.Report.find(t, DiskSync)
	found.Report.Findings = slices.DeleteFunc(found.Report.Findings, func(f Finding) bool { // how full and how fast the disk is differs
		return f.Check == DiskSpace || f.Check == DiskSync
	})
	found.Report.expect(t, nil, []string{DNS, TLS, NeighbourHost}) // it is on this machine, without TLS
	for _, check := range []string{Config, ConfigSecrets, ConfigLoad, QueueAccepting, QueueDelivering, QueueDead, Verification, VerificationWrongToken} {
		if !slices.Contains(found.Report.with(OK), check) {
			t.Errorf("%s is %+v", check, found.Report.find(t, check))
		}
	}
	for _, check := range []string{DeliverySigned, DeliveryUnsigned, Token} {
		if !slices.Contains(found.Report.with(Skipped), check) {
			t.Errorf("%s is %+v", check, found.Report.find(t, check))
		}
	}
}
