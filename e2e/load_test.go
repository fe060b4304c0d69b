package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// count returns how many lines of what a gateway wrote hold all of these texts.
func (g *gateway) count(texts ...string) (n int) {
lines:
	for line := range strings.Lines(g.output.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		n++
	}
	return n
}

// TestStartFailsWhenAFileCannotBeWritten keeps a gateway from saying that it
// serves when each delivery would be answered with 503.
func TestStartFailsWhenAFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	if err := os.WriteFile(g.out("plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"below a file": g.out("plain") + "/{instagram.field}.jsonl",
		"a directory":  g.dir,
	} {
		site := fmt.Sprintf("http://:%d {\n%s\ninstagram_file %q\n}", freePort(t), webhook, path)
		config := g.write(t, "Caddyfile", g.caddyfile("auto_https off", site))
		cmd := exec.Command(caddyBinary, "run", "--config", config)
		cmd.Env, cmd.Dir = g.env, g.dir
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "instagram_file cannot write to "+path) {
			t.Errorf("%s: %v\n%s", name, err, tail(string(out), 10))
		}
		cmd = exec.Command(caddyBinary, "validate", "--config", config)
		cmd.Env, cmd.Dir = g.env, g.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: caddy validate: %v\n%s", name, err, tail(string(out), 10))
		}
	}
}

// TestLoadWarnsOnce has a piece of a Caddyfile stand for several sites: each fault
// is told once a load, and so that the secret stays unknown.
func TestLoadWarnsOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t, `LOAD_TEST_SECRET="`+secret+`"`)
	sites := "(hooks) {\ninstagram_webhook {\nverify_token t0k3n\napp_secret meta {env.LOAD_TEST_SECRET}\n}\nrespond 200\n}\n"
	for range 2 {
		sites += fmt.Sprintf("http://:%d {\nimport hooks\n}\n", freePort(t))
	}
	g.start(t, "auto_https off", sites)
	texts := []string{`"level":"warn"`, "an app secret does not look like one of Meta's", `app_secret \"meta\"`, "{env.LOAD_TEST_SECRET}", "quotes"}
	if n := g.count(texts...); n != 1 {
		t.Errorf("told %d times at the start", n)
	}
	g.reload(t, g.write(t, "next", g.caddyfile("auto_https off", sites)))
	if n := g.count(texts...); n != 2 {
		t.Errorf("told %d times after a reload", n)
	}
	if g.count(secret) > 0 {
		t.Error("the secret is in the log")
	}
}

// TestMisplacedHandlerKeepsTheVerifyTokenOutOfTheLogs sends a verification request
// to handlers that instagram_webhook does not stand before.
func TestMisplacedHandlerKeepsTheVerifyTokenOutOfTheLogs(t *testing.T) {
	t.Parallel()
	const token = "Xq7Zw-of-the-tests"
	port := freePort(t)
	g := newGateway(t)
	g.start(t, "auto_https off\ndebug", fmt.Sprintf(`http://:%d {
	log
	handle /file {
		instagram_file events.jsonl
	}
	handle /queue {
		instagram_queue {
			respond 200
		}
	}
	handle_errors {
		respond 200
	}
}`, port))
	for _, directive := range []string{"instagram_file", "instagram_queue"} {
		if n := g.count(`"level":"warn"`, directive+" stands where no request was authenticated", "/"+strings.TrimPrefix(directive, "instagram_")); n != 1 {
			t.Errorf("%s: told %d times at the start", directive, n)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		c := newCaller(nil, addr, nil)
		a := c.mustDo(t, verification(t, "http://"+addr+"/"+strings.TrimPrefix(directive, "instagram_"), "subscribe", token, "1"))
		c.close()
		if a.status != http.StatusInternalServerError {
			t.Errorf("%s answers with %d", directive, a.status)
		}
		g.mustAwait(t, directive+" got a request that was not authenticated")
	}
	g.stop()
	for where, text := range g.written(t) {
		if strings.Contains(text, token) {
			t.Errorf("the verify token is in %s", where)
		}
	}
}

// TestReloadThatLeavesEventsBehindIsTold changes the path of a queue whose
// application is down: what waits in the old file would be forgotten.
func TestReloadThatLeavesEventsBehindIsTold(t *testing.T) {
	t.Parallel()
	g := newQueueGateway(t)
	down := fmt.Sprintf("reverse_proxy 127.0.0.1:%d", freePort(t))
	const text = "no instagram_queue uses this store any more"
	g.serve(t, quick+down)
	g.send(t, talks(talk("a", 0), talk("b", 0)), http.StatusOK)
	g.change(t, quick+down+"\nrequest_header X-Other 1") // the same store
	old := g.file
	if n := g.count(text); n != 0 {
		t.Errorf("told %d times of a store that is used", n)
	}
	g.file = g.out("other.db")
	g.change(t, quick+down)
	if g.mustAwait(t, text); g.count(`"level":"warn"`, text, fmt.Sprintf("%q", old), `"pending":2`) != 1 {
		t.Errorf("the line lacks something")
	}
	// The end of the process leaves events in all of its queues.
	g.send(t, talks(talk("c", 0)), http.StatusOK)
	g.stop()
	if n := g.count(text); n != 1 {
		t.Errorf("told %d times in all", n)
	}
}
