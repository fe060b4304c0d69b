package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReloadLetsDeliveriesEnd reloads while one delivery is with the
// application and another one is still being read: the handlers of the old
// configuration, cleaned up meanwhile, must bring both to their end.
func TestReloadLetsDeliveriesEnd(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	port := freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	g := newGateway(t)
	site := fmt.Sprintf("http://:%d {\n%s\ninstagram_file %q {\nformat raw\n}\nreverse_proxy %s\n}", port, webhook, g.out("events.jsonl"), u.addr)
	g.start(t, "auto_https off", site)

	held := make(chan string, 1)
	req := delivery(t, http1, "http://hooks.example.com/held", secret, []byte(`{"n":1}`))
	go func() {
		a, err := newCaller(nil, addr, nil).do(req)
		held <- fmt.Sprint(a != nil && a.status == http.StatusOK, err)
	}()
	u.mustAwait(t, "holding a request")

	// The 100 that this one gets tells that the handler reads its body.
	body := `{"n":2,"long":"` + strings.Repeat("x", 100_000) + `"}`
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /read HTTP/1.1\r\nHost: hooks.example.com\r\nExpect: 100-continue\r\nContent-Length: %d\r\nX-Hub-Signature-256: sha256=%s\r\n\r\n",
		len(body), hexHMAC256(secret, []byte(body)))
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("got %q, %v instead of 100", line, err)
	}
	fmt.Fprint(conn, body[:len(body)/2])

	for range 2 {
		g.reload(t, g.write(t, "next", g.caddyfile("auto_https off", site)))
	}
	fmt.Fprint(conn, body[len(body)/2:])
	if _, err := reader.ReadString('\n'); err != nil { // ends the head of the 100
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(reader, nil)
	for err == nil && resp.StatusCode == http.StatusContinue { // the application's
		resp, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the delivery that was being read was answered with %s", resp.Status)
	}
	if u.ledger(t)[hexSHA256([]byte(body))] != 1 {
		t.Error("the delivery that was being read did not reach the application")
	}
	u.release(t)
	if got := <-held; got != "true <nil>" {
		t.Errorf("the delivery that the application held was not answered with 200: %s", got)
	}
	if lines := g.lines(t, "events.jsonl"); len(lines) != 2 {
		t.Errorf("%d lines, want 2", len(lines))
	}
}

// TestConfigWithoutSecretsDoesNotLoad tries configurations whose secrets
// resolve to nothing: anyone could sign for an empty one. The old configuration
// goes on.
func TestConfigWithoutSecretsDoesNotLoad(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := newGateway(t, "EMPTY=", "TOKEN="+plainToken, "SECRET="+envSecret)
	site := func(token, key string) string {
		return fmt.Sprintf("http://:%d {\ninstagram_webhook {\nverify_token %s\napp_secret %s\n}\nrespond taken\n}", port, token, key)
	}
	g.start(t, "auto_https off", site("{env.TOKEN}", "{env.SECRET}"))
	empty := "{file." + g.write(t, "empty", "") + "}"
	missing := "{file." + filepath.Join(g.in, "missing") + "}"
	for _, wrong := range []string{"{env.UNSET_VARIABLE}", "{env.EMPTY}", empty, missing, `""`} {
		for _, next := range []string{site(wrong, "{env.SECRET}"), site("{env.TOKEN}", wrong)} {
			cmd := exec.Command(caddyBinary, "reload", "--config", g.write(t, "next", g.caddyfile("auto_https off", next)),
				"--adapter", "caddyfile", "--address", g.admin)
			cmd.Env = g.env
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("this was loaded:\n%s", next)
			}
			for _, leak := range []string{plainToken, envSecret} {
				if strings.Contains(string(out), leak) {
					t.Errorf("the error tells %q:\n%s", leak, out)
				}
			}
		}
	}
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	if a := c.mustDo(t, delivery(t, http1, "http://hooks.example.com/", envSecret, []byte("{}"))); a.status != http.StatusOK {
		t.Errorf("status %d after failed reloads, want 200", a.status)
	}
	if a := c.mustDo(t, delivery(t, http1, "http://hooks.example.com/", "", []byte("{}"))); a.status != http.StatusUnauthorized {
		t.Errorf("status %d for an empty key, want 401", a.status)
	}
}
