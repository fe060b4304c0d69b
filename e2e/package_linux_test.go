package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

const (
	packageName = "caddy-instagram"
	packageData = "/var/lib/caddy-instagram"
	packageEtc  = "/etc/caddy-instagram"
	packageUnit = "/usr/lib/systemd/system/caddy-instagram.service"
	packageBin  = "/usr/bin/caddy-instagram"
)

// builtPackages returns a file of each version that tools/release has made, the oldest
// first. CI makes them just before it runs the tests with this variable set.
func builtPackages(t *testing.T, pattern string) []string {
	t.Helper()
	dir := os.Getenv("PACKAGES")
	if dir == "" {
		t.Skip("skipped: PACKAGES names no directory with packages, which tools/release makes")
	}
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	slices.Sort(found)
	return found
}

// TestPackage installs the .deb in a copy of this system, runs the gateway as its unit
// says, upgrades the package, removes it and installs it again. An event that waits
// survives all of that, and so does what the operator has written.
func TestPackage(t *testing.T) {
	t.Parallel()
	debs := builtPackages(t, "*_linux_amd64.deb")
	if len(debs) < 2 {
		t.Fatalf("an upgrade takes two versions: %v", debs)
	}
	root := harness.NewRoot(t)
	g := &packaged{root: root, manager: dpkg, app: harness.StartApp(t), addr: lowAddr(t), admin: harness.FreeAddr(t)}
	g.app.Down()

	g.install(t, debs[0])
	g.checkFiles(t)
	g.checkUnit(t)
	g.checkTemplate(t)
	g.configure(t)

	gateway := g.start(t)
	g.deliver(t, "first.0")
	g.reload(t)
	gateway.stop(t)
	before, config := root.Run(t, packageBin, "version"), g.config(t)

	g.install(t, debs[1])
	if after := root.Run(t, packageBin, "version"); after == before {
		t.Errorf("both versions say they are %s", after)
	}
	g.checkFiles(t)
	g.checkUpgraded(t, config)
	gateway = g.start(t)
	g.deliver(t, "second.0")
	gateway.stop(t)

	if said := root.Run(t, "dpkg", "--remove", packageName); !strings.Contains(said, "are still in "+packageData) {
		t.Errorf("dpkg --remove does not say what stays:\n%s", said)
	}
	if g.config(t) != config {
		t.Error("the removal has changed the config")
	}
	for _, path := range []string{packageUnit, packageBin} {
		if _, err := os.Stat(root.Path(path)); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if said := root.Run(t, "dpkg", "--purge", packageName); !strings.Contains(said, "are still in "+packageData) {
		t.Errorf("dpkg --purge does not say what stays:\n%s", said)
	}
	if _, err := os.Stat(root.Path(packageEtc)); err == nil {
		t.Error("the secrets are still there")
	}

	g.checkQueueKept(t, debs[1])
}

// TestPackageWithoutSecrets upgrades packages whose file of secrets the operator has given
// to root alone, and then deleted, because the secrets come from elsewhere.
func TestPackageWithoutSecrets(t *testing.T) {
	t.Parallel()
	const environment = packageEtc + "/environment"
	t.Run("deb", func(t *testing.T) {
		t.Parallel()
		debs := builtPackages(t, "*_linux_amd64.deb")
		g := &packaged{root: harness.NewRoot(t), manager: dpkg}
		g.install(t, debs[0])
		g.root.Run(t, "chown", "root:root", environment)
		g.root.Run(t, "chmod", "600", environment)
		g.install(t, debs[len(debs)-1])
		g.checkOwner(t, environment, "600 root:root")
		g.root.Run(t, "rm", environment)
		g.install(t, debs[0])
		g.install(t, debs[len(debs)-1])
		if _, err := os.Stat(g.root.Path(environment)); err == nil {
			t.Error("an upgrade makes the file again")
		}
	})
	t.Run("rpm", func(t *testing.T) { // which does make it again
		t.Parallel()
		rpms := builtPackages(t, "*_linux_amd64.rpm")
		tool(t, "rpm", "rpm")
		g := &packaged{root: harness.NewRoot(t), manager: rpm}
		g.install(t, rpms[0])
		g.root.Run(t, "rm", environment)
		g.install(t, rpms[len(rpms)-1])
		g.checkOwner(t, environment, "640 root:"+packageName)
	})
}

// manager is a program that installs packages: by these words, and others list the files of
// a package. It puts a new config beside that of the operator, with an ending.
type manager struct {
	install, files []string
	ending         string
}

var dpkg = manager{[]string{"dpkg", "--force-confdef", "--force-confold", "--install"}, []string{"dpkg", "--listfiles"}, ".dpkg-dist"}

// packaged is a package in a root.
type packaged struct {
	root        *harness.Root
	manager     manager
	app         *harness.App
	addr, admin string
}

func (g *packaged) install(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(g.root.Path("/package"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.root.Run(t, append(g.manager.install, "/package")...)
}

// checkUpgraded checks that the operator still has their config, and the package's new one
// beside it.
func (g *packaged) checkUpgraded(t *testing.T, config string) {
	t.Helper()
	if g.config(t) != config {
		t.Error("the upgrade has changed the config")
	}
	// As docs/install.md has an operator do it.
	g.root.Run(t, "runuser", "-u", packageName, "--", packageName, "validate", "--config", packageEtc+"/Caddyfile", "--envfile", packageEtc+"/environment")
	if beside := g.read(t, packageEtc+"/Caddyfile"+g.manager.ending); !strings.Contains(beside, "# Of the next version.") {
		t.Errorf("beside the config is\n%s", beside)
	}
}

// checkQueueKept installs the package again, and has the application get the two events that
// waited before it was removed.
func (g *packaged) checkQueueKept(t *testing.T, file string) {
	t.Helper()
	g.install(t, file)
	g.checkFiles(t)
	g.configure(t)
	g.app.Up(t)
	gateway := g.start(t)
	g.app.WaitDelivered(t, 2)
	gateway.stop(t)
	if got := g.app.Received(t); len(got) != 2 {
		t.Errorf("received %v", got)
	}
}

// checkFiles checks whose the files are, and that none belongs to another package.
func (g *packaged) checkFiles(t *testing.T) {
	t.Helper()
	for path, want := range map[string]string{
		packageBin:                  "755 root:root",
		packageUnit:                 "644 root:root",
		packageEtc:                  "755 root:root",
		packageEtc + "/Caddyfile":   "644 root:root",
		packageEtc + "/environment": "640 root:caddy-instagram",
		packageData:                 "750 caddy-instagram:caddy-instagram",
	} {
		g.checkOwner(t, path, want)
	}
	if user := g.root.Run(t, "getent", "passwd", packageName); !strings.Contains(user, ":"+packageData+":/usr/sbin/nologin") {
		t.Errorf("the user is %s", user)
	}
	own := regexp.MustCompile(`^/(\.|etc|usr|usr/(bin|lib|lib/systemd|lib/systemd/system|share|share/doc)|.*/caddy-instagram(\.service|/.*)?)$`)
	for line := range strings.Lines(g.root.Run(t, append(g.manager.files, packageName)...)) {
		if !own.MatchString(strings.TrimSpace(line)) {
			t.Errorf("the package has %s", line)
		}
	}
}

// checkOwner checks the mode, the user and the group of a file.
func (g *packaged) checkOwner(t *testing.T, path, want string) {
	t.Helper()
	if got := strings.TrimSpace(g.root.Run(t, "stat", "--format=%a %U:%G", path)); got != want {
		t.Errorf("%s is %s, want %s", path, got, want)
	}
}

// checkUnit has systemd look at the unit, which needs no running systemd.
func (g *packaged) checkUnit(t *testing.T) {
	t.Helper()
	if said := g.root.Run(t, "systemd-analyze", "verify", packageUnit); strings.Contains(said, packageName) {
		t.Errorf("systemd-analyze verify says:\n%s", said)
	}
	// Of ten, less is better: it has 2.1, and a unit that protects nothing 9.6.
	g.root.Run(t, "systemd-analyze", "security", "--offline=true", "--threshold=25", packageUnit)
}

// checkTemplate loads the config that comes with the package: first without secrets,
// then with some.
func (g *packaged) checkTemplate(t *testing.T) {
	t.Helper()
	config, environment := packageEtc+"/Caddyfile", packageEtc+"/environment"
	out, err := g.root.Command(packageBin, "validate", "--config", config, "--envfile", environment).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "IG_VERIFY_TOKEN") {
		t.Errorf("without secrets: %v\n%s", err, out)
	}
	text := g.read(t, environment)
	text = strings.NewReplacer("IG_VERIFY_TOKEN=\n", "IG_VERIFY_TOKEN=token\n", "IG_APP_SECRET=\n", "IG_APP_SECRET="+harness.Secret+"\n").Replace(text)
	g.write(t, "/tmp/environment", text)
	g.root.Run(t, packageBin, "validate", "--config", config, "--envfile", "/tmp/environment")
	if out := g.root.Run(t, packageBin, "fmt", "--diff", config); strings.Contains(out, "\n-") || strings.Contains(out, "\n+") {
		t.Errorf("it is not formatted:\n%s", out)
	}
}

// configure writes what an operator would.
func (g *packaged) configure(t *testing.T) {
	t.Helper()
	g.write(t, packageEtc+"/environment", "# Mine.\nIG_VERIFY_TOKEN=token\nIG_APP_SECRET="+harness.Secret+"\n")
	g.write(t, packageEtc+"/Caddyfile", `# Mine.
{
	admin `+g.admin+`
	grace_period 8s
}
http://`+g.addr+` {
	handle /webhooks {
		instagram_webhook {
			verify_token {env.IG_VERIFY_TOKEN}
			app_secret {env.IG_APP_SECRET}
		}
		instagram_queue {
			`+harness.QuickRetry+`
			reverse_proxy `+g.app.Addr+`
		}
	}
}
`)
}

// write writes to a file, whose owner and mode stay.
func (g *packaged) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(g.root.Path(path), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g *packaged) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(g.root.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (g *packaged) config(t *testing.T) string {
	return g.read(t, packageEtc+"/Caddyfile") + g.read(t, packageEtc+"/environment")
}
