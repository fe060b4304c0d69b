package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// rpm finds no shadow-utils among Debian's packages: it is told not to look.
var rpm = manager{[]string{"rpm", "--upgrade", "--nodeps"}, []string{"rpm", "--query", "--list"}, ".rpmnew"}

// TestPackageRPM does with the .rpm what TestPackage does with the .deb.
func TestPackageRPM(t *testing.T) {
	t.Parallel()
	rpms := builtPackages(t, "*_linux_amd64.rpm")
	if len(rpms) < 2 {
		t.Fatalf("an upgrade takes two versions: %v", rpms)
	}
	tool(t, "rpm", "rpm")
	g := &packaged{root: harness.NewRoot(t), manager: rpm, app: harness.StartApp(t), addr: lowAddr(t), admin: harness.FreeAddr(t)}
	g.app.Down()

	g.install(t, rpms[0])
	g.checkFiles(t)
	g.checkUnit(t)
	g.checkTemplate(t)
	if needs := g.root.Run(t, "rpm", "--query", "--requires", packageName); !strings.Contains(needs, "shadow-utils") {
		t.Errorf("it requires %s", needs)
	}
	g.configure(t)
	gateway := g.start(t)
	g.deliver(t, "first.0")
	gateway.stop(t)
	config := g.config(t)

	g.install(t, rpms[1])
	g.checkFiles(t)
	g.checkUpgraded(t, config)
	g.root.Run(t, "rpm", "--verify", "--nodeps", "--noconfig", "--nouser", "--nogroup", packageName)
	gateway = g.start(t)
	g.deliver(t, "second.0")
	gateway.stop(t)

	if said := g.root.Run(t, "rpm", "--erase", packageName); !strings.Contains(said, "are still in "+packageData) {
		t.Errorf("rpm --erase does not say what stays:\n%s", said)
	}
	for _, path := range []string{packageUnit, packageBin, packageEtc + "/Caddyfile", packageEtc + "/environment"} {
		if _, err := os.Stat(g.root.Path(path)); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if saved := g.read(t, packageEtc+"/Caddyfile.rpmsave") + g.read(t, packageEtc+"/environment.rpmsave"); saved != config {
		t.Errorf("rpm has saved\n%s", saved)
	}
	g.checkOwner(t, packageEtc+"/environment.rpmsave", "640 root:"+packageName)

	g.checkQueueKept(t, rpms[1])
}
