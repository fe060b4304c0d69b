package harness

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed php
var scripts embed.FS

// PHP is a real PHP FastCGI Process Manager.
type PHP struct {
	Socket string
	Root   string // holds the scripts of the directory php
}

// HavePHP reports whether tests with PHP can run. In continuous integration they
// must: nothing may be left out unseen.
func HavePHP() bool { return findPHP() != "" || os.Getenv("CI") == "true" }

// StartPHP starts php-fpm without a php.ini, with more lines for its pool. Where there
// is none the test is skipped, except in continuous integration.
func StartPHP(t testing.TB, pool ...string) *PHP {
	t.Helper()
	return startPHP(t, pool, "--no-php-ini")
}

// StartInstalledPHP is StartPHP with the php.ini of the system, and its extensions.
func StartInstalledPHP(t testing.TB, pool ...string) *PHP {
	t.Helper()
	return startPHP(t, pool)
}

func startPHP(t testing.TB, pool []string, options ...string) *PHP {
	t.Helper()
	binary := findPHP()
	switch {
	case !HavePHP():
		t.Skip("skipped: php-fpm is not installed, so php_fastcgi is not tested")
	case binary == "":
		t.Fatal("CI must have what this test needs: php-fpm")
	}
	// Not t.TempDir(): the path of a socket must be short.
	dir, err := os.MkdirTemp("", "fpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.CopyFS(dir, scripts); err != nil {
		t.Fatal(err)
	}
	p := &PHP{Socket: filepath.Join(dir, "s"), Root: filepath.Join(dir, "php")}
	config := filepath.Join(dir, "fpm.conf")
	args := append(options, "--nodaemonize", "--force-stderr", "--fpm-config", config)
	user := ""
	if os.Geteuid() == 0 {
		// Pools of root need a user and, to stay root, permission to.
		args = append(args, "--allow-to-run-as-root")
		user = "user = root\ngroup = root\n"
	}
	err = os.WriteFile(config, fmt.Appendf(nil, `[global]
daemonize = no
error_log = /dev/stderr
[www]
listen = %s
pm = static
pm.max_children = 2
clear_env = yes
php_admin_value[post_max_size] = 16M
php_admin_flag[log_errors] = on
%s%s
`, p.Socket, user, strings.Join(pool, "\n")), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	startFor(t, "php-fpm", exec.Command(binary, args...)).WaitOutput(t, "ready to handle connections")
	return p
}

// FastCGI has Caddy run a script, with more lines in the block of php_fastcgi.
func (p *PHP) FastCGI(script string, block ...string) string {
	return fmt.Sprintf("root %s\nrewrite /%s\nphp_fastcgi unix/%s {\n%s\n}",
		p.Root, script, p.Socket, strings.Join(block, "\n"))
}

// findPHP returns the newest php-fpm. Distributions put it where the PATH of
// ordinary users does not lead, under names with its version.
func findPHP() string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin") {
		found, _ := filepath.Glob(filepath.Join(dir, "php-fpm*"))
		slices.Sort(found)
		for _, path := range slices.Backward(found) {
			if path, err := exec.LookPath(path); err == nil {
				return path
			}
		}
	}
	return ""
}
