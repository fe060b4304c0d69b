package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestMisspeltFieldsAreTold asks Caddy's own commands about a Caddyfile, and about
// the same in JSON, with fields that nobody knows in all places that take names.
// Nothing is refused, and nothing said of the known ones.
func TestMisspeltFieldsAreTold(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	const site = `http://:0 {
	instagram_webhook {
		verify_token x
		app_secret ` + secret + `
	}
	@new instagram {
		field leadgen mesages
	}
	@same expression ` + "`instagram({'field': ['replies', 'reply']})`" + `
	instagram_file %q {
		fields comments coments
	}
	instagram_queue @new {
		store bolt %q
		fields messages message_deliveries
		fields smb_message_echoes feeds unparsed
		respond ok
	}
	respond @same same
}`
	path := g.write(t, "Caddyfile", fmt.Sprintf(site, g.out("events.jsonl"), g.out("queue.db")))
	caddy := func(args ...string) (stdout, stderr string) {
		t.Helper()
		cmd := exec.Command(caddyBinary, args...)
		cmd.Env = g.env
		cmd.Dir = g.dir
		var text strings.Builder
		cmd.Stderr = &text
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("caddy %s: %v\n%s", args, err, text.String())
		}
		return string(out), text.String()
	}
	config, adapted := caddy("adapt", "--config", path, "--adapter", "caddyfile")
	_, validated := caddy("validate", "--config", path, "--adapter", "caddyfile")
	_, json := caddy("validate", "--config", g.write(t, "config.json", config))

	for _, warned := range []struct {
		name, nearest string
		line          int // 0: not known
	}{{"mesages", "messages", 7}, {"coments", "comments", 11}, {"feeds", "feed", 16}, {"reply", "replies", 0}} {
		text := fmt.Sprintf(`field \"%s\" is not known: is it misspelt? The nearest that is known is \"%s\"`, warned.name, warned.nearest)
		place := fmt.Sprintf(`"line":%d`, warned.line)
		if warned.line > 0 {
			for output, stderr := range map[string]string{"adapt": adapted, "validate": validated} {
				if line := lineWith(stderr, text, place); !strings.Contains(line, `"warn"`) || !strings.Contains(line, "Caddyfile") {
					t.Errorf("%s does not warn of %s in line %d:\n%s", output, warned.name, warned.line, stderr)
				}
			}
		}
		for output, stderr := range map[string]string{"validate": validated, "validate of JSON": json} {
			if lineWith(stderr, text, `"logger":"http.`) == "" {
				t.Errorf("%s does not warn of %s:\n%s", output, warned.name, stderr)
			}
		}
	}
	if n := strings.Count(adapted, "is not known"); n != 3 {
		t.Errorf("adapt has %d warnings:\n%s", n, adapted)
	}
}

// lineWith returns the line of text that holds all parts.
func lineWith(text string, parts ...string) string {
	for line := range strings.Lines(text) {
		found := true
		for _, part := range parts {
			found = found && strings.Contains(line, part)
		}
		if found {
			return line
		}
	}
	return ""
}
