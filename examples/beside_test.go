package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestNothingBesideTheURLIsAnsweredWith200 runs each example, and each site of
// the README and of docs, in a real Caddy, and asks for what is not the callback
// URL. Where nothing takes a request, Caddy answers it with an empty 200: Meta
// would take a delivery for taken that nobody has seen.
func TestNothingBesideTheURLIsAnsweredWith200(t *testing.T) {
	sites := exampleTexts(t)
	for i, block := range codeBlocks(t) {
		if block.language == "" && regexp.MustCompile(`(?m)^hooks\.example\.com \{$`).MatchString(block.text) {
			sites[fmt.Sprintf("snippet %d", i)] = block.text
		}
	}
	if len(sites) < 10 {
		t.Errorf("only %d sites", len(sites))
	}
	enterServer(t)
	for name, text := range sites {
		t.Run(name, func(t *testing.T) {
			text = strings.ReplaceAll(text, "remote_ip 10.0.0.0/8", "remote_ip 127.0.0.0/8") // the balancer is this test
			address, host := serve(t, adapt(t, name, text))
			if got := status(t, http.MethodGet, address, host, "/webhooks"); got != http.StatusBadRequest {
				t.Errorf("GET /webhooks without parameters is answered with %d: it does not come to instagram_webhook", got)
			}
			for _, path := range []string{"/webhooks/", "/webhooks/instagram", "/webhook", "/"} {
				if got := status(t, http.MethodGet, address, host, path); got != http.StatusNotFound {
					t.Errorf("GET %s is answered with %d, want 404", path, got)
				}
				if got := status(t, http.MethodPost, address, host, path); got != http.StatusNotFound {
					t.Errorf("POST %s is answered with %d, want 404", path, got)
				}
			}
			if strings.Contains(name, "balancer") {
				if got := status(t, http.MethodPost, address, "backend:8080", "/webhooks"); got != http.StatusNotFound {
					t.Errorf("with another Host the answer is %d, want 404", got)
				}
			}
		})
	}
}

// TestQuickStartAnswersEveryHost would have a tunnel's Host, or 127.0.0.1 in
// place of localhost, answered with an empty 200, as if the delivery were taken.
func TestQuickStartAnswersEveryHost(t *testing.T) {
	const name = "quickstart/Caddyfile"
	config := adapt(t, name, exampleTexts(t)[name])
	if !bytes.Contains(config, []byte(`"listen":["127.0.0.1:8080"]`)) {
		t.Errorf("others than this machine can connect: %s", config)
	}
	enterServer(t)
	address, _ := serve(t, config)
	for _, host := range []string{"localhost:8080", "127.0.0.1:8080", "quiet-river.trycloudflare.com", "[::1]:8080"} {
		for path, want := range map[string]int{"/webhooks": http.StatusUnauthorized, "/webhooks/": http.StatusNotFound, "/": http.StatusNotFound} {
			if got := status(t, http.MethodPost, address, host, path); got != want {
				t.Errorf("POST %s with Host %s is answered with %d, want %d", path, host, got, want)
			}
		}
	}
}

// serve runs a config without TLS on a free port. It returns its address and the
// host of its site, or any if that takes all.
func serve(t *testing.T, config []byte) (address, host string) {
	t.Helper()
	host = "any.example.com"
	if m := regexp.MustCompile(`"host":\["([^"]+)"`).FindSubmatch(config); m != nil {
		host = string(m[1])
	}
	var loaded struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	var web struct {
		Servers map[string]map[string]any `json:"servers"`
	}
	if err := json.Unmarshal(config, &loaded); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(loaded.Apps["http"], &web); err != nil || len(web.Servers) != 1 {
		t.Fatalf("%d servers, %v", len(web.Servers), err)
	}
	address = freeAddress(t)
	for _, server := range web.Servers {
		server["listen"] = []string{address}
		server["automatic_https"] = map[string]bool{"disable": true}
		delete(server, "tls_connection_policies")
	}
	running, err := json.Marshal(map[string]any{
		"admin":   map[string]bool{"disabled": true},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"writer": map[string]string{"output": "discard"}}}},
		"apps":    map[string]any{"http": web},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(running, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return address, host
}

// status returns how a request is answered.
func status(t *testing.T, method, address, host, path string) int {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Close = host, true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // nothing of it is wanted
	return resp.StatusCode
}

// freeAddress returns one that nobody listens on. Its port lies below those that
// systems take for outgoing connections, so that none of these gets it first.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, ports = 31001, 1000
	for i := range ports {
		address := fmt.Sprintf("127.0.0.1:%d", first+(os.Getpid()+i)%ports)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// TestExamplesOfQueuesGiveNothingUpAtOnce looks for statuses in the examples by
// which an event is given up after one attempt. Frameworks answer 400 and 422 to
// what is not the event's fault: a Host that Django does not know, a missing CSRF
// token in Rails.
func TestExamplesOfQueuesGiveNothingUpAtOnce(t *testing.T) {
	texts := exampleTexts(t)
	for i, block := range codeBlocks(t) {
		texts[fmt.Sprintf("block %d", i)] = block.text
	}
	dead := regexp.MustCompile(`(?m)^\s*dead\s.*\b(400|401|403|404|419|422|5\d\d)\b|"dead_status": *\[[^\]]*(400|422)`)
	for name, text := range texts {
		if found := dead.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
}

// TestExamplesOfPHPHideErrors looks for PHP that takes deliveries and can answer
// 200 to a fatal error.
func TestExamplesOfPHPHideErrors(t *testing.T) {
	texts := exampleTexts(t)
	for i, block := range codeBlocks(t) {
		texts[fmt.Sprintf("block %d", i)] = block.text
	}
	found := 0
	for name, text := range texts {
		for _, at := range regexp.MustCompile(`(?m)^\s*php_fastcgi .*`).FindAllStringIndex(text, -1) {
			found++
			if !regexp.MustCompile(`^.*\{\n[^}]*(\{instagram\.secret\}[^}]*)?env PHP_ADMIN_VALUE "\s*display_errors=0\n`).MatchString(strings.TrimSpace(text[at[0]:])) {
				t.Errorf("%s does not hide errors of PHP:\n%s", name, text)
			}
		}
	}
	if found < 2 {
		t.Errorf("only %d times PHP", found)
	}
}
