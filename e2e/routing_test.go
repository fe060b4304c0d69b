package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// TestRoutingByEvents routes deliveries by the matcher, as a named matcher and
// in an expression, and uses placeholders of the events in an answer and in the
// path of a file.
func TestRoutingByEvents(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `%s
	instagram_file %s {
		format meta
	}
	@messages instagram {
		field messages
		echo false
	}
	@tests %s
	handle @messages {
		respond "to the inbox"
	}
	handle @tests {
		respond "a test of {instagram.field}"
	}
	handle {
		respond "{instagram.count} {instagram.object} {instagram.account} {instagram.field} {instagram.id} {instagram.test}"
	}`, harness.Webhook, caddy.Out("{instagram.account}-{instagram.field}.jsonl"), "`instagram({'test': 'true'})`")
	client := caddy.Client(t, harness.HTTP1)

	comment := string(harness.Change("comments", `{"id":"17900000000000001"}`))
	const account = "17841400000000001"
	mention := string(harness.Change("mentions", `{"media_id":"1","comment_id":"2"}`))
	button := strings.Replace(mention, account, meta.TestAccount, 1)
	const message = `{"sender":{"id":"%s"},"recipient":{"id":"%s"},"timestamp":1,"message":{"mid":"m1","text":"t"%s}}`
	received := string(harness.Messaging(fmt.Sprintf(message, "6", account, "")))
	echo := string(harness.Messaging(fmt.Sprintf(message, account, "6", `,"is_echo":true`)))
	for _, tc := range []struct{ body, says string }{
		{comment, "1 instagram 17841400000000001 comments instagram/17841400000000001/comments/17900000000000001 false"},
		{button, "a test of mentions"},
		{received, "to the inbox"},
		{echo, "1 instagram 17841400000000001 messages instagram/17841400000000001/messages/m1 false"},
		{"[" + comment + "," + received + "]", "to the inbox"},
		{"not JSON", "1   unparsed //unparsed/sha256:" + harness.SHA256([]byte("not JSON")) + " false"},
	} {
		answer := client.Deliver(t, []byte(tc.body))
		if answer.Status != 200 || answer.Body != tc.says {
			t.Errorf("%s\nis answered with %d %q, want %q", tc.body, answer.Status, answer.Body, tc.says)
		}
	}
	for name, want := range map[string]int{
		"17841400000000001-comments.jsonl": 2, "17841400000000001-messages.jsonl": 3, "0-mentions.jsonl": 1, "_-unparsed.jsonl": 1,
	} {
		if _, err := os.Stat(caddy.Out(name)); err != nil {
			t.Error(err)
		} else if lines := caddy.Lines(t, name); len(lines) != want {
			t.Errorf("%s has %d lines, want %d", name, len(lines), want)
		}
	}
}
