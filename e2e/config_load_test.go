package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestStartFailsWhenAFileCannotBeWritten keeps Caddy from saying that it serves
// when each delivery would be answered with 503.
func TestStartFailsWhenAFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	if err := os.WriteFile(caddy.Out("plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"below a file": caddy.Out("plain") + "/{instagram.field}.jsonl",
		"a directory":  caddy.Dir,
	} {
		site := caddy.Site("%s\ninstagram_file %q", harness.Webhook, path)
		caddy.StartFails(t, site, regexp.QuoteMeta("instagram_file cannot write to "+path))
		if out, err := caddy.Run("validate", "--config", caddy.Config(t, site)); err != nil {
			t.Errorf("%s: caddy validate: %v\n%s", name, err, harness.Tail(out, 10))
		}
	}
}

// TestConfigWithoutSecretsDoesNotLoad tries configurations whose secrets
// resolve to nothing: anyone could sign for an empty one. The old configuration
// goes on.
func TestConfigWithoutSecretsDoesNotLoad(t *testing.T) {
	t.Parallel()
	const token, secret = "plain-token-4f6bd1", "e0a1f64be19c4b7a8f3f2f0fd0c5a911"
	caddy := harness.NewCaddy(t, "EMPTY=", "TOKEN="+token, "SECRET="+secret)
	site := func(token, key string) string {
		return caddy.Site("instagram_webhook {\nverify_token %s\napp_secret %s\n}\nrespond taken", token, key)
	}
	caddy.Start(t, site("{env.TOKEN}", "{env.SECRET}"))
	empty := "{file." + caddy.Write(t, "empty", "") + "}"
	missing := "{file." + filepath.Join(caddy.In, "missing") + "}"
	for _, wrong := range []string{"{env.UNSET_VARIABLE}", "{env.EMPTY}", empty, missing, `""`} {
		for _, next := range []string{site(wrong, "{env.SECRET}"), site("{env.TOKEN}", wrong)} {
			out, err := caddy.TryReload(t, next)
			if err == nil {
				t.Errorf("this was loaded:\n%s", next)
			}
			if strings.Contains(out, token) || strings.Contains(out, secret) {
				t.Errorf("the error tells a secret:\n%s", out)
			}
		}
	}
	for key, want := range map[string]int{secret: http.StatusOK, "": http.StatusUnauthorized} {
		req := harness.NewDelivery(t, harness.HTTP1, caddy.URL, key, []byte("{}"))
		if answer := caddy.Client(t, harness.HTTP1).Do(t, req); answer.Status != want {
			t.Errorf("status %d for the key %q after failed reloads, want %d", answer.Status, key, want)
		}
	}
}

// TestLoadWarnsOnce imports a snippet into several sites: each fault is logged once
// a load, and so that the secret stays unknown.
func TestLoadWarnsOnce(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t, `LOAD_TEST_SECRET="`+harness.Secret+`"`)
	sites := "(hooks) {\ninstagram_webhook {\nverify_token t0k3n\napp_secret meta {env.LOAD_TEST_SECRET}\n}\nrespond 200\n}\n"
	for range 2 {
		sites += fmt.Sprintf("http://:%d {\nimport hooks\n}\n", harness.FreePort(t))
	}
	caddy.Start(t, sites)
	texts := []string{
		`"level":"warn"`, "an app secret does not look like one of Meta's", `app_secret \"meta\"`, "{env.LOAD_TEST_SECRET}", "quotes",
	}
	if n := caddy.CountLines(texts...); n != 1 {
		t.Errorf("logged %d times at the start", n)
	}
	caddy.Reload(t, sites)
	if n := caddy.CountLines(texts...); n != 2 {
		t.Errorf("logged %d times after a reload", n)
	}
	if caddy.CountLines(harness.Secret) > 0 {
		t.Error("the secret is in the log")
	}
}

// TestMisspeltFieldsAreTold asks Caddy's own commands about a Caddyfile, and about
// the same in JSON, with fields that nobody knows in all places that take names.
// Nothing is refused, and nothing said of the known ones.
func TestMisspeltFieldsAreTold(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	site := fmt.Sprintf(`http://:0 {
	instagram_webhook {
		verify_token x
		app_secret `+harness.Secret+`
	}
	@new instagram {
		field leadgen mesages
	}
	@same expression `+"`instagram({'field': ['replies', 'reply']})`"+`
	instagram_file %q {
		fields comments coments
	}
	instagram_queue @new {
		store sqlite %q
		fields messages message_deliveries
		fields smb_message_echoes feeds unparsed
		respond ok
	}
	respond @same same
}`, caddy.Out("events.jsonl"), caddy.Queue)
	path := caddy.Write(t, "Caddyfile", site)
	run := func(args ...string) (stdout, stderr string) {
		t.Helper()
		cmd := caddy.Command(args...)
		var text strings.Builder
		cmd.Stderr = &text
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("caddy %s: %v\n%s", args, err, text.String())
		}
		return string(out), text.String()
	}
	config, adapted := run("adapt", "--config", path, "--adapter", "caddyfile")
	_, validated := run("validate", "--config", path, "--adapter", "caddyfile")
	_, json := run("validate", "--config", caddy.Write(t, "config.json", config))

	for _, warned := range []struct {
		name, nearest string
		line          int // 0: not known
	}{{"mesages", "messages", 7}, {"coments", "comments", 11}, {"feeds", "feed", 16}, {"reply", "replies", 0}} {
		text := fmt.Sprintf(`field \"%s\" is not known: is it misspelt? The nearest that is known is \"%s\"`,
			warned.name, warned.nearest)
		place := fmt.Sprintf(`"line":%d`, warned.line)
		if warned.line > 0 {
			for output, stderr := range map[string]string{"adapt": adapted, "validate": validated} {
				if harness.CountLines(stderr, text, place, `"warn"`, "Caddyfile") == 0 {
					t.Errorf("%s does not warn of %s in line %d:\n%s", output, warned.name, warned.line, stderr)
				}
			}
		}
		for output, stderr := range map[string]string{"validate": validated, "validate of JSON": json} {
			if harness.CountLines(stderr, text, `"logger":"http.`) == 0 {
				t.Errorf("%s does not warn of %s:\n%s", output, warned.name, stderr)
			}
		}
	}
	if n := strings.Count(adapted, "is not known"); n != 3 {
		t.Errorf("adapt has %d warnings:\n%s", n, adapted)
	}
}

// TestMisplacedHandlerKeepsTheVerifyTokenOutOfTheLogs sends a verification request
// to handlers that instagram_webhook does not stand before.
func TestMisplacedHandlerKeepsTheVerifyTokenOutOfTheLogs(t *testing.T) {
	t.Parallel()
	const token = "Xq7Zw-of-the-tests"
	caddy := harness.NewCaddy(t)
	caddy.Options += "\ndebug"
	caddy.Serve(t, `log
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
	}`)
	for path, directive := range map[string]string{"/file": "instagram_file", "/queue": "instagram_queue"} {
		if n := caddy.CountLines(`"level":"warn"`, directive+" stands where no request was authenticated", path); n != 1 {
			t.Errorf("%s: logged %d times at the start", directive, n)
		}
		req := harness.NewVerification(t, caddy.Base("127.0.0.1")+path, "subscribe", token, "1")
		if answer := caddy.Client(t, harness.HTTP1).Do(t, req); answer.Status != http.StatusInternalServerError {
			t.Errorf("%s answers with %d", directive, answer.Status)
		}
		caddy.WaitOutput(t, directive+" got a request that was not authenticated")
	}
	caddy.Stop()
	for where, text := range caddy.Written(t) {
		if strings.Contains(text, token) {
			t.Errorf("the verify token is in %s", where)
		}
	}
}

// TestReloadThatLeavesEventsBehindIsTold changes the path of a queue whose
// application is down: what waits in the old file would be forgotten.
func TestReloadThatLeavesEventsBehindIsTold(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	down := "reverse_proxy " + harness.FreeAddr(t)
	const text = "no instagram_queue uses this store any more"
	caddy.ServeQueue(t, harness.QuickRetry+down)
	caddy.Deliver(t, harness.Messages("a.0", "b.0"), http.StatusOK)
	caddy.ReloadQueue(t, harness.QuickRetry+down+"\nrequest_header X-Other 1") // the same store
	old := caddy.Queue
	if n := caddy.CountLines(text); n != 0 {
		t.Errorf("logged %d times of a store that is used", n)
	}
	caddy.Queue = caddy.Out("other.db")
	caddy.ReloadQueue(t, harness.QuickRetry+down)
	if caddy.WaitOutput(t, text); caddy.CountLines(`"level":"warn"`, text, fmt.Sprintf("%q", old), `"pending":2`) != 1 {
		t.Errorf("the line lacks something")
	}
	// The end of the process leaves events in all of its queues.
	caddy.Deliver(t, harness.Messages("c.0"), http.StatusOK)
	caddy.Stop()
	if n := caddy.CountLines(text); n != 1 {
		t.Errorf("logged %d times in all", n)
	}
}
