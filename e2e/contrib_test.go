package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

const contrib = "../contrib"

// tool returns the path of a program that comes with Debian's package of the same
// name or another one. The test is skipped where it is missing, except in CI.
func tool(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("%s is not installed: apt install %s", name, debianPackage)
	}
	return path
}

// TestAlertRules runs the tests of the alert rules.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(tool(t, "promtool", "prometheus"), "test", "rules", "alerts_test.yml")
	cmd.Dir = filepath.Join(contrib, "prometheus")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestQueriesFindMetrics has a Prometheus scrape a gateway that has had something of
// everything, and runs the queries of the dashboard and of the alert rules: each has an
// answer, and each metric in them exists.
func TestQueriesFindMetrics(t *testing.T) {
	t.Parallel()
	prometheus := tool(t, "prometheus", "prometheus")
	_, graph := startGraph(t)
	caddy := harness.NewCaddy(t, "IG_TOKEN_KEY="+tokenKey)
	caddy.Options = watched(graph, "")
	ca := caddy.Write(t, "ca.pem", string(testpki.PEM(testpki.NewCA(t, "Example CA"))))
	secured := strings.Replace(harness.Webhook, "{", fmt.Sprintf("{\nclient_cert {\ntrust_pool file %q\n}", ca), 1)
	caddy.Start(t, caddy.Site("%s\ninstagram_file %q\ninstagram_queue {\n%s\nrespond 200\n}",
		harness.Webhook, caddy.Out("events.jsonl"), harness.QuickRetry)+
		fmt.Sprintf("%s {\n%s\nrespond 200\n}\n", caddy.Base("secured.example.com"), secured))
	if out, err := importToken(t, caddy, watchedToken); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	caddy.Deliver(t, harness.Messages("m1", "m2"), http.StatusOK)
	server := startPrometheus(t, prometheus, caddy.Admin)

	queries := dashboardQueries(t)
	rules, err := os.ReadFile(filepath.Join(contrib, "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, expr := range regexp.MustCompile(`(?m)^ *expr: (.*)$`).FindAllStringSubmatch(string(rules), -1) {
		query(t, server, expr[1])
		queries = append(queries, regexp.MustCompile(`caddy_instagram_\w+`).FindAllString(expr[1], -1)...)
	}
	if len(queries) < 15 {
		t.Errorf("only %d queries", len(queries))
	}
	for _, expr := range queries {
		harness.Wait(t, "an answer to "+expr, func() bool { return query(t, server, expr) > 0 })
	}
}

// startPrometheus returns the address of a Prometheus that scrapes a target.
func startPrometheus(t *testing.T, program, target string) string {
	t.Helper()
	dir, addr := t.TempDir(), harness.FreeAddr(t)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs:\n- {job_name: caddy, scrape_interval: 1s, static_configs: [{targets: [%q]}]}\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var output strings.Builder
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus wrote:\n%s", harness.Tail(output.String(), 20))
		}
	})
	harness.Wait(t, "Prometheus is ready", func() bool {
		response, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return addr
}

// query returns how many series a query finds.
func query(t *testing.T, server, expr string) int {
	t.Helper()
	response, err := http.Get("http://" + server + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Status != "success" {
		t.Fatalf("%s: %s", expr, answer.Error)
	}
	return len(answer.Data.Result)
}

// dashboardQueries returns the queries of the dashboard as Grafana would send them.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(contrib, "grafana", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$instance", ".+", "$__rate_interval", "1m")
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, variables.Replace(target.Expr))
		}
	}
	return queries
}

// TestFail2banFindsForgers holds the filter against the log of a gateway that had a
// forgery of each kind, and a request that is none.
func TestFail2banFindsForgers(t *testing.T) {
	t.Parallel()
	program := tool(t, "fail2ban-regex", "fail2ban")
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "%s\nrespond taken", harness.Webhook)
	client := caddy.Client(t, harness.HTTP1)
	for _, signature := range []string{"", "sha256=0", "sha256=" + strings.Repeat("0", 64)} {
		req := harness.NewDelivery(t, harness.HTTP1, caddy.URL, harness.Secret, []byte("{}"))
		req.Header.Del("X-Hub-Signature-256")
		if signature != "" {
			req.Header.Set("X-Hub-Signature-256", signature)
		}
		if answer := client.Do(t, req); answer.Status != http.StatusUnauthorized {
			t.Fatalf("a signature %q was answered with %d", signature, answer.Status)
		}
	}
	client.Do(t, harness.NewVerification(t, caddy.URL, "subscribe", "wrong", "1"))
	caddy.Stop()

	log := caddy.Write(t, "caddy.log", caddy.Output())
	filter, err := filepath.Abs(filepath.Join(contrib, "fail2ban", "caddy-instagram.conf"))
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(program, log, filter).CombinedOutput()
	if err != nil || !strings.Contains(string(output), "3 matched") {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestFail2banLoadsJail has fail2ban load the jail beside those that it comes with. If there
// is nothing to read for one jail, it loads none.
func TestFail2banLoadsJail(t *testing.T) {
	t.Parallel()
	program, dir := tool(t, "fail2ban-client", "fail2ban"), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("/etc/fail2ban")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "jail.d")); err != nil { // sshd need not be here
		t.Fatal(err)
	}
	for to, from := range map[string]string{"filter.d": "caddy-instagram.conf", "jail.d": "jail.conf"} {
		text, err := os.ReadFile(filepath.Join(contrib, "fail2ban", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to, "caddy-instagram.conf"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if output, err := exec.Command(program, "-c", dir, "--test").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	output, err := exec.Command(program, "-c", dir, "--dump").CombinedOutput()
	if err != nil || !strings.Contains(string(output), "['set', 'caddy-instagram', 'addjournalmatch', '_SYSTEMD_UNIT=caddy-instagram.service']") {
		t.Errorf("%v\n%s", err, output)
	}
}
