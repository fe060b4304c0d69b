package accesslog_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/logging"

	_ "github.com/caddy-instagram/webhooks/handler"
)

func init() { caddy.RegisterModule(testNext{}) }

// testNext is a handler that responds to a request as its path says.
type testNext struct{}

func (testNext) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_next", New: func() caddy.Module { return new(testNext) }}
}

func (testNext) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	switch r.URL.Path {
	case "/user":
		repl.Set("http.auth.user.id", "somebody")
	case "/error":
		return errors.New("an error without a status")
	case "/error-404", "/routed":
		return caddyhttp.HandlerError{Err: errors.New("not here"), StatusCode: 404, ID: "an id", Trace: "a trace"}
	case "/error-502", "/failing":
		return caddyhttp.HandlerError{Err: errors.New("nobody home"), StatusCode: 502, ID: "an id", Trace: "a trace"}
	case "/no-cause":
		return caddyhttp.HandlerError{StatusCode: 503, ID: "an id", Trace: "a trace"}
	case "/wrapped":
		return fmt.Errorf("wrapped: %w", caddyhttp.HandlerError{Err: errors.New("gone"), StatusCode: 410})
	case "/rewritten":
		r.URL.Path, r.RequestURI = "/elsewhere", "/elsewhere?q=2"
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Powered-By", "tests")
	w.Header().Set("Location", "/elsewhere?q=3")
	if r.URL.Path == "/500" {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, err := io.WriteString(w, "the response")
	return err
}

// notLogged are headers that Caddy logs, and this package does not.
var notLogged = []string{"Accept-Encoding", "X-Hub-Signature-256", "Location", "Cookie"}

const secret = "0123456789abcdef0123456789abcdef"

// config is that of two servers with access logs and of two with error routes as
// well. The plugin is in one of each.
func config(dir string) map[string]any {
	type m = map[string]any
	webhook := m{
		"handler":       "instagram_webhook",
		"verify_tokens": []string{"token"},
		"app_secrets":   []m{{"secret": secret}},
	}
	set := func(path, name string, value any) m {
		return m{"match": []m{{"path": []string{path}}}, "handle": []m{{"handler": "vars", name: value}}}
	}
	servers := make(m)
	for _, name := range []string{"caddy", "plugin", "caddy-routes", "plugin-routes"} {
		next := []m{{"handler": "test_next"}}
		if strings.HasPrefix(name, "plugin") {
			next = []m{webhook, {"handler": "test_next"}}
		}
		server := m{
			"listen": []string{"unix/" + filepath.Join(dir, name)},
			"routes": []m{
				set("/level", "log_level", "WARN"), set("/bad-level", "log_level", "FATAL"),
				set("/names", "access_logger_names", []string{"", "chosen"}), set("/skip", "log_skip", true),
				{"handle": next},
			},
			"logs": m{
				"default_logger_name": "usual",
				"skip_hosts":          []string{"skipped.example.com"},
				"logger_names": m{
					"hooks.example.com":  []string{"a", "b"},
					"*.wild.example.com": "wild",
					"none.example.com":   []string{},
				},
			},
		}
		if strings.HasSuffix(name, "routes") {
			server["errors"] = m{"routes": []m{
				{"match": []m{{"path": []string{"/failing"}}}, "handle": []m{{"handler": "test_next"}}},
				{"handle": []m{{"handler": "static_response", "status_code": 507, "body": "sorry"}}},
			}}
		}
		servers[name] = server
	}
	log := m{
		"writer":  m{"output": "file", "filename": filepath.Join(dir, "log")},
		"encoder": m{"format": "json"},
		"level":   "DEBUG",
	}
	return m{
		"admin":   m{"disabled": true, "config": m{"persist": false}},
		"logging": m{"logs": m{"default": log}},
		"apps":    m{"http": m{"servers": servers}},
	}
}

// TestLinesAreThoseOfCaddy sends the same requests to servers with and without
// the plugin, and compares what they log about them, field by field. If it fails
// after an update of Caddy, Caddy's lines have changed, and ours must follow.
func TestLinesAreThoseOfCaddy(t *testing.T) {
	dir, err := os.MkdirTemp("", "accesslog") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	text, err := json.Marshal(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(text, true); err != nil {
		t.Fatal(err)
	}
	type address struct{ host, path string }
	var addresses []address
	for _, path := range []string{
		"/", "/500", "/user", "/rewritten", "/level", "/bad-level", "/names", "/skip",
		"/error", "/error-404", "/error-502", "/no-cause", "/wrapped", "/routed", "/failing",
	} {
		addresses = append(addresses, address{"unknown.example.com", path})
	}
	for _, host := range []string{"HOOKS.example.com:443", "x.wild.example.com", "none.example.com", "skipped.example.com"} {
		addresses = append(addresses, address{host, "/"}, address{host, "/error"})
	}
	for _, server := range []string{"caddy", "plugin", "caddy-routes", "plugin-routes"} {
		for _, a := range addresses {
			post(t, dir, server, a.host, a.path)
		}
	}
	if err := caddy.Stop(); err != nil { // waits for the lines
		t.Fatal(err)
	}
	lines := readLog(t, filepath.Join(dir, "log"))
	for _, suffix := range []string{"", "-routes"} {
		for _, a := range addresses {
			key := a.host + a.path + "?REDACTED"
			got, want := lines["plugin"+suffix+" "+key], lines["caddy"+suffix+" "+key]
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s:\nwith the plugin:    %v\nwithout the plugin: %v", suffix, key, got, want)
			}
			silent := a.path == "/skip" || a.host == "none.example.com" || a.host == "skipped.example.com" && a.path == "/"
			if silent != (len(want) == 0) {
				t.Errorf("%s, %s: %d lines", suffix, key, len(want))
			}
		}
	}
}

// post sends a delivery to a server, which it names in a header.
func post(t *testing.T, dir, server, host, path string) {
	t.Helper()
	const body = `{"object":"instagram"}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+path+"?q=1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Cookie", "a=b")
	r.Header.Set("X-Forwarded-Host", server)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, server))
	}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
}

// readLog returns the lines about requests, by server, host and URI: without what
// differs from request to request, and without what this package does not log.
func readLog(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := make(map[string][]string)
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		request, ok := line["request"].(map[string]any)
		if logger, _ := line["logger"].(string); !ok || !strings.HasPrefix(logger, "http.log.") {
			continue
		}
		requestHeaders := request["headers"].(map[string]any)
		server := requestHeaders["X-Forwarded-Host"].([]any)[0].(string)
		delete(requestHeaders, "X-Forwarded-Host")
		responseHeaders, _ := line["resp_headers"].(map[string]any)
		for _, name := range notLogged {
			_, inRequest := requestHeaders[name]
			_, inResponse := responseHeaders[name]
			if strings.HasPrefix(server, "plugin") && (inRequest || inResponse) {
				t.Errorf("%s is in the log: %s", name, scanner.Bytes())
			}
			delete(requestHeaders, name)
			delete(responseHeaders, name)
		}
		uri := strings.ReplaceAll(request["uri"].(string), "?q=1", "?REDACTED")
		request["uri"] = uri
		for _, name := range []string{"ts", "duration"} {
			if _, ok := line[name].(float64); !ok {
				t.Errorf("there is no %s: %s", name, scanner.Bytes())
			}
			delete(line, name)
		}
		text, err := json.Marshal(line) // sorted by name
		if err != nil {
			t.Fatal(err)
		}
		key := server + " " + request["host"].(string) + uri
		lines[key] = append(lines[key], string(text))
		slices.Sort(lines[key])
	}
	return lines
}
