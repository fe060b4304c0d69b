package queue

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestGraceIsNeverWithoutEnd shows how long a config waits for attempts.
func TestGraceIsNeverWithoutEnd(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]time.Duration{
		`{}`:                             defaultGrace,
		`{"grace_period":"0s"}`:          defaultGrace,
		`{"grace_period":"3s"}`:          3 * time.Second,
		`{"grace_period":3600000000000}`: time.Hour,
		``:                               defaultGrace,
	} {
		c := &caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}}
		if config != "" {
			c.AppsRaw = caddy.ModuleMap{"http": []byte(config)}
		}
		provisioning.Lock()
		ctx, err := caddy.ProvisionContext(c)
		provisioning.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if config != "" {
			if _, err := ctx.App("http"); err != nil {
				t.Fatal(err)
			}
		}
		q := &runner{ctx: ctx}
		if got := q.grace(); got != want {
			t.Errorf("%s: %s, want %s", config, got, want)
		}
	}
}
