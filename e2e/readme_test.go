package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestApplicationOfTheReadme runs the Caddyfile and the script that the README
// begins with. The script fails until its directory is there; then it has each
// event once.
func TestApplicationOfTheReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	queue := regexp.MustCompile(`(?ms)^\tinstagram_queue /webhooks \{\n(.*?)^\t\}$`).FindSubmatch(text)
	script := regexp.MustCompile("(?ms)^```php\n(.*?)^```$").FindSubmatch(text)
	if queue == nil || script == nil {
		t.Fatal("the README does not begin with a queue and a script")
	}
	php := harness.StartInstalledPHP(t, "php_admin_flag[display_errors] = on")
	inbox := t.TempDir()
	if err := os.Remove(inbox); err != nil {
		t.Fatal(err)
	}
	local := strings.NewReplacer("/srv/webhooks", php.Root, "unix//run/php/php-fpm.sock", "unix/"+php.Socket, "/var/lib/webhooks", inbox).Replace
	if err := os.WriteFile(filepath.Join(php.Root, "index.php"), []byte(local(string(script[1]))), 0o600); err != nil {
		t.Fatal(err)
	}
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+local(string(queue[1])))
	const deliveries = 10
	for _, sample := range harness.Samples(t)[:deliveries] {
		caddy.Deliver(t, sample.Body, 200)
		caddy.Deliver(t, sample.Body, 200)
	}
	caddy.WaitMetricThat(t, `queue_failed_attempts_total{consumer="default",reason="500"}`, func(n float64) bool { return n >= 2 })
	if err := os.Mkdir(inbox, 0o700); err != nil {
		t.Fatal(err)
	}
	caddy.WaitQueueEmpty(t)

	db, err := sqlite3.OpenFlags(filepath.Join(inbox, "inbox.db"), sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, _, err := db.Prepare(`SELECT count(*) FROM inbox WHERE id <> '' AND json_valid(event)`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Step() || rows.ColumnInt(0) < deliveries {
		t.Errorf("the application has %d events, %v", rows.ColumnInt(0), rows.Err())
	}
}
