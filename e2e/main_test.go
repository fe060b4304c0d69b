// Package e2e tests the plugin from outside, with real parts: a Caddy in a
// process of its own, PHP, an ACME server, disks that fill up or lose their power.
package e2e

import (
	"os"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
