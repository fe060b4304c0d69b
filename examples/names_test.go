package examples_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/alert"
)

// The tests in this file, in options_test.go and in headers_test.go hold the names in
// the documentation against those in the code, both ways. Those of the code come from
// where the code has them: the tables of options, the registry of metrics, the routes
// of the admin API. Commands and flags are tested in internal/command.

// TestMetricsAreDocumented gathers what a running Caddy has.
func TestMetricsAreDocumented(t *testing.T) {
	all := pages(t)
	enterServer(t)
	config := adapt(t, "metrics", `
{
	admin off
	persist_config off
	log {
		output discard
	}
	instagram {
		account 17841400000000777 {
			token managed
		}
		token_key {env.IG_TOKEN_KEY}
	}
}
http://`+freeAddress(t)+` {
	instagram_webhook {
		verify_token {env.IG_VERIFY_TOKEN}
		app_secret {env.IG_APP_SECRET}
	}
	instagram_signed_request /deauthorize deauthorize {
		app_secret {env.IG_APP_SECRET}
	}
	instagram_file events.jsonl
	instagram_queue {
		store sqlite queue.db
		respond 200
	}
}`)
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	active := caddy.ActiveContext()
	registry := active.GetMetricsRegistry()
	code := make(map[string]bool) // a metric with its labels
	descriptions := make(chan *prometheus.Desc, 10000)
	registry.Describe(descriptions)
	close(descriptions)
	parts := regexp.MustCompile(`fqName: "(caddy_instagram_\w+)".*variableLabels: \{([^}]*)\}`)
	for description := range descriptions {
		if m := parts.FindStringSubmatch(description.String()); m != nil {
			labels := strings.Split(m[2], ",")
			slices.Sort(labels)
			code[m[1]+" "+strings.Join(labels, " ")] = true
		}
	}
	docs := make(map[string]bool)
	_, page, _ := strings.Cut(all["../docs/metrics.md"], "\n## All metrics\n")
	for _, row := range regexp.MustCompile("(?m)^\\| `(caddy_instagram_\\w+)`[^|]*\\| (.*) ?\\|$").FindAllStringSubmatch(page, -1) {
		var labels []string
		outside := regexp.MustCompile(`\((?:[^()]|\([^()]*\))*\)`).ReplaceAllString(row[2], "") // values are in brackets
		for _, label := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(outside, -1) {
			labels = append(labels, label[1])
		}
		slices.Sort(labels)
		docs[row[1]+" "+strings.Join(labels, " ")] = true
	}
	if len(code) < 20 {
		t.Errorf("only %d metrics", len(code))
	}
	for _, metric := range missing(code, docs) {
		t.Errorf("docs/metrics.md does not have the metric with labels %s", metric)
	}
	for _, metric := range missing(docs, code) {
		t.Errorf("docs/metrics.md has %s, and the code does not", metric)
	}
	known := make(map[string]bool)
	for metric := range code {
		name, _, _ := strings.Cut(metric, " ")
		known[name] = true
	}
	for path, text := range all {
		for _, name := range regexp.MustCompile(`caddy_instagram_\w+`).FindAllString(text, -1) {
			if !known[name] {
				t.Errorf("%s names the metric %s, which does not exist", path, name)
			}
		}
	}

	// Counters exist from the start, so each reason to refuse is a value of theirs.
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{
		"caddy_instagram_deliveries_total":      "../docs/troubleshooting.md",
		"caddy_instagram_verifications_total":   "../docs/troubleshooting.md",
		"caddy_instagram_signed_requests_total": "../docs/configuration/signed-request.md",
	}
	reasons := make(map[string]map[string]bool)
	for _, family := range families {
		page, ok := tables[family.GetName()]
		if !ok {
			continue
		}
		if reasons[page] == nil {
			reasons[page] = make(map[string]bool)
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "result" && label.GetValue() != "accepted" && label.GetValue() != "failed" {
					reasons[page][label.GetValue()] = true
				}
			}
		}
	}
	for page, code := range reasons {
		docs := make(map[string]bool)
		for _, row := range regexp.MustCompile(`(?m)^\| \d{3} \| (.*?) \|`).FindAllStringSubmatch(all[page], -1) {
			for _, reason := range strings.Split(row[1], ", ") {
				docs[strings.Trim(reason, "`")] = true
			}
		}
		if len(code) < 8 {
			t.Errorf("only the reasons %v of %s", code, page)
		}
		for _, reason := range missing(code, docs) {
			t.Errorf("%s does not have the reason %s", page, reason)
		}
		for _, reason := range missing(docs, code) {
			t.Errorf("%s has the reason %s, and the code does not", page, reason)
		}
	}
}

// TestAdminPathsAreDocumented compares the routes with the tables of all pages.
func TestAdminPathsAreDocumented(t *testing.T) {
	t.Parallel()
	code, docs := make(map[string]bool), make(map[string]bool)
	parameter := regexp.MustCompile(`\{\w+\}`)
	for _, route := range new(admin.API).Routes() {
		code[parameter.ReplaceAllString(route.Pattern, "{}")] = true
	}
	for _, text := range pages(t) {
		for _, cell := range regexp.MustCompile("(?m)^\\| `(?:GET|POST|DELETE) (/instagram/[^`]*)`(.*?) \\|").FindAllStringSubmatch(text, -1) {
			path := parameter.ReplaceAllString(cell[1], "{}")
			docs[path] = true
			if m := regexp.MustCompile("`…/(\\w+)`").FindStringSubmatch(cell[2]); m != nil { // "pause, …/resume"
				docs[path[:strings.LastIndex(path, "/")+1]+m[1]] = true
			}
		}
	}
	for _, path := range missing(code, docs) {
		t.Errorf("no page has the admin path %s", path)
	}
	for _, path := range missing(docs, code) {
		t.Errorf("a page has the admin path %s, and the code does not", path)
	}
}

// TestEventsOfCaddyAreDocumented compares the kinds of alerts, which are Caddy's
// events, too.
func TestEventsOfCaddyAreDocumented(t *testing.T) {
	t.Parallel()
	code, docs := make(map[string]bool), make(map[string]bool)
	for _, kind := range alert.Kinds() {
		code["instagram."+string(kind)] = true
	}
	_, page, _ := strings.Cut(pages(t)["../docs/configuration/alerts.md"], "\n## Caddy's events\n")
	page, _, _ = strings.Cut(page, "\n## ")
	for _, name := range regexp.MustCompile("`(instagram\\.[a-z_]+)`").FindAllStringSubmatch(page, -1) {
		docs[name[1]] = true
	}
	for _, name := range missing(code, docs) {
		t.Errorf("docs/configuration/alerts.md does not have the event %s", name)
	}
	for _, name := range missing(docs, code) {
		t.Errorf("docs/configuration/alerts.md has the event %s, and the code does not", name)
	}
}

// TestArchitectureNamesPackages finds each package of internal in the table of packages.
func TestArchitectureNamesPackages(t *testing.T) {
	text := readFile(t, "..", "docs", "architecture.md")
	dirs, err := filepath.Glob("../internal/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("there are no packages: %v", err)
	}
	for _, dir := range dirs {
		if name := "`internal/" + filepath.Base(dir) + "`"; !strings.Contains(text, name) {
			t.Errorf("docs/architecture.md does not say what %s holds", name)
		}
	}
}

// missing returns the names that others lack, sorted.
func missing(names, others map[string]bool) (all []string) {
	for name := range names {
		if !others[name] {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}
