package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// php is a real PHP FastCGI Process Manager.
type php struct {
	socket string
	root   string // holds index.php, silent.php and relay.php
}

// startPHP starts php-fpm. Where there is none the test is skipped, except in
// continuous integration, where nothing may be left out unseen.
func startPHP(t *testing.T) *php {
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
	for name, script := range map[string]string{"index.php": echoScript, "silent.php": silentScript, "relay.php": relayScript} {
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
%s`, p.socket, user)), 0o600)
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
