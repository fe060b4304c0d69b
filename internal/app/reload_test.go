package app_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"

	"github.com/caddy-instagram/webhooks/internal/account"
)

// TestReloadThatFails has a config that fails to start while another one runs: that one goes
// on looking after its accounts, and says so.
func TestReloadThatFails(t *testing.T) {
	t.Setenv("APP_TEST_TOKEN", "IGAA-made-up")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	load := func(listen, silence string) error {
		return caddy.Load(fmt.Appendf(nil, `{
			"admin": {"disabled": true}, "storage": {"module": "file_system", "root": %q}, "logging": {"logs": {"default": {"level": "PANIC"}}},
			"apps": {
				"http": {"servers": {"a": {"listen": [%q], "automatic_https": {"disable": true}}}},
				"instagram": {"accounts": [{"id": "17841400000000001", "token": "{env.APP_TEST_TOKEN}", "graph_url": "http://127.0.0.1:1", "silence": %q}]}
			}
		}`, dir, listen, silence), true)
	}
	if err := load("127.0.0.1:0", "12h"); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	defer stop()
	first := account.Running()
	for i := range 20 { // as apps start in any order
		if load(taken.Addr().String(), fmt.Sprint(20+i, "h")) == nil {
			t.Fatal("a config starts whose port is taken")
		}
		if account.Running() != first {
			t.Fatal("the config that runs does not look after its accounts any more")
		}
	}
	if err := load("127.0.0.1:0", "13h"); err != nil {
		t.Fatal(err)
	}
	if second := account.Running(); second == nil || second == first {
		t.Error("the next config does not look after the accounts")
	}
	if stop(); account.Running() != nil {
		t.Error("accounts are looked after, and no config runs")
	}
}
