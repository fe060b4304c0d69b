package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// silentScript tells the client nothing of the request. What it writes to the
// error log comes back to Caddy over FastCGI.
const silentScript = `<?php
error_log('complaint of the script');
`

// echoScript answers like the upstream, as far as PHP is told.
const echoScript = `<?php
$body = file_get_contents('php://input');
header('Content-Type: application/json');
echo json_encode([
	'method' => $_SERVER['REQUEST_METHOD'],
	'uri' => $_SERVER['REQUEST_URI'],
	'sha256' => hash('sha256', $body),
	'length' => strlen($body),
	'content_length' => (int) ($_SERVER['CONTENT_LENGTH'] ?? -1),
	'transfer_encoding' => isset($_SERVER['HTTP_TRANSFER_ENCODING']) ? [$_SERVER['HTTP_TRANSFER_ENCODING']] : null,
	'header' => array_map(fn($value) => [$value], getallheaders()),
]);
`

// relayScript passes what it gets on to the application whose address is in
// RELAY, and answers with the status that this answers. The application so tells
// what PHP was told.
const relayScript = `<?php
$headers = [];
foreach (getallheaders() as $name => $value) $headers[] = "$name: $value";
$context = stream_context_create(['http' => [
	'method' => $_SERVER['REQUEST_METHOD'],
	'header' => $headers,
	'content' => file_get_contents('php://input'),
	'ignore_errors' => true,
]]);
file_get_contents('http://' . $_SERVER['RELAY'] . $_SERVER['REQUEST_URI'], false, $context);
http_response_code((int) explode(' ', $http_response_header[0])[1]);
`

// failingScripts end in a fatal error: at once, after they have written
// something, and after they have asked for errors to be shown, as frameworks do
// while they are developed.
var failingScripts = map[string]string{
	"fatal.php":  "<?php\nno_such_function();\n",
	"late.php":   "<?php\necho 'something';\nno_such_function();\n",
	"asking.php": "<?php\nini_set('display_errors', '1');\nno_such_function();\n",
}

// php is a real PHP FastCGI Process Manager.
type php struct {
	socket string
	root   string // holds index.php, silent.php and relay.php
}

// startPHP starts php-fpm, with more lines for its pool. Where there is none the test is skipped, except in
// continuous integration, where nothing may be left out unseen.
func startPHP(t *testing.T, pool ...string) *php {
	t.Helper()
	binary := findPHP()
	if binary == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must have what this test needs: php-fpm")
		}
		t.Skip("skipped: php-fpm is not installed, so php_fastcgi is not tested")
	}
	// Not t.TempDir(): the path of a socket must be short.
	dir, err := os.MkdirTemp("", "fpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &php{socket: filepath.Join(dir, "s"), root: filepath.Join(dir, "www")}
	if err := os.Mkdir(p.root, 0o755); err != nil {
		t.Fatal(err)
	}
	scripts := map[string]string{"index.php": echoScript, "silent.php": silentScript, "relay.php": relayScript}
	maps.Copy(scripts, failingScripts)
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(p.root, name), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "fpm.conf")
	args := []string{"--nodaemonize", "--force-stderr", "--no-php-ini", "--fpm-config", config}
	user := ""
	if os.Geteuid() == 0 {
		// Pools of root need a user and, to stay root, permission to.
		args = append(args, "--allow-to-run-as-root")
		user = "user = root\ngroup = root\n"
	}
	err = os.WriteFile(config, []byte(fmt.Sprintf(`[global]
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
`, p.socket, user, strings.Join(pool, "\n"))), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	process := runProcess(t, "php-fpm", exec.Command(binary, args...))
	process.mustAwait(t, "ready to handle connections")
	return p
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

// errorsOfPHP returns how the example has PHP deal with errors.
func errorsOfPHP(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../examples/php-fpm/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`env PHP_ADMIN_VALUE "[^"]*"`).Find(text)
	if setting == nil {
		t.Fatal("the example does not say how PHP deals with errors")
	}
	return string(setting)
}

// TestFatalErrorOfPHPIsNoSuccess has scripts that fail. With display_errors PHP
// answers 200 to that, and Meta believes it; with the setting of the example it
// answers 500, whatever the pool says, the script asks for, or was written before.
func TestFatalErrorOfPHPIsNoSuccess(t *testing.T) {
	t.Parallel()
	for name, pool := range map[string]string{
		"without php.ini":    "", // errors are shown by default
		"set by the pool":    "php_flag[display_errors] = on",
		"forced by the pool": "php_admin_flag[display_errors] = on",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, port := startPHP(t, pool), freePort(t)
			site := fmt.Sprintf("http://:%d {\n", port)
			for path, env := range map[string]string{"shown": "", "hidden": `env PHP_ADMIN_VALUE "display_errors=0"`, "example": errorsOfPHP(t)} {
				site += fmt.Sprintf("handle /%[1]s/* {\n%[2]s\nroot %[3]s\nuri strip_prefix /%[1]s\nphp_fastcgi unix/%[4]s {\n%[5]s\n}\n}\n", path, webhook, p.root, p.socket, env)
			}
			startGateway(t, "auto_https off", site+"}")
			c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
			defer c.close()
			// In this order, as a setting stays with the worker that got it.
			for _, at := range []struct {
				path              string
				fatal, late, asks int
			}{{"shown", 200, 200, 200}, {"hidden", 500, 200, 500}, {"example", 500, 500, 500}} {
				for script, want := range map[string]int{"fatal.php": at.fatal, "late.php": at.late, "asking.php": at.asks} {
					url := fmt.Sprintf("http://127.0.0.1:%d/%s/%s", port, at.path, script)
					if a := c.mustDo(t, delivery(t, http1, url, secret, samples(t)[0].body)); a.status != want {
						t.Errorf("%s, %s: status %d, want %d", at.path, script, a.status, want)
					}
				}
			}
		})
	}
}

// TestQueueTriesAgainAfterAFatalErrorOfPHP has the failing script behind the
// queue, which must not take it for delivered.
func TestQueueTriesAgainAfterAFatalErrorOfPHP(t *testing.T) {
	t.Parallel()
	p := startPHP(t, "php_admin_flag[display_errors] = on")
	g := newQueueGateway(t)
	g.serve(t, quick+fmt.Sprintf("root %s\nrewrite /late.php\nphp_fastcgi unix/%s {\n%s\n}", p.root, p.socket, errorsOfPHP(t)))
	g.send(t, samples(t)[0].body, 200)
	g.awaitMetricThat(t, `queue_failed_attempts_total{reason="500"}`, func(n float64) bool { return n >= 2 })
	if pending := g.metric(t, g.gauge("pending_events")); pending < 1 {
		t.Errorf("%v events wait", pending)
	}
}
