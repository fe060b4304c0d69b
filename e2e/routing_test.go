package e2e

import (
	"fmt"
	"os"
	"testing"
)

// TestRoutingByEvents routes deliveries by the matcher, as a named matcher and
// in an expression, and uses placeholders of the events in an answer and in the
// path of a file.
func TestRoutingByEvents(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	port := freePort(t)
	g.start(t, "", fmt.Sprintf(`http://127.0.0.1:%d {
	instagram_webhook {
		verify_token x
		app_secret %s
	}
	instagram_file %s {
		format meta
	}
	@messages instagram {
		field messages
		echo false
	}
	@tests `+"`instagram({'test': 'true'})`"+`
	handle @messages {
		respond "to the inbox"
	}
	handle @tests {
		respond "a test of {instagram.field}"
	}
	handle {
		respond "{instagram.count} {instagram.object} {instagram.account} {instagram.field} {instagram.id} {instagram.test}"
	}
}`, port, secret, g.out("{instagram.account}-{instagram.field}.jsonl")))
	c := newCallerFor(http1, nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	t.Cleanup(c.close)

	const comment = `{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000,"changes":[{"field":"comments","value":{"id":"17900000000000001"}}]}]}`
	const pressed = `{"object":"instagram","entry":[{"id":"0","time":1790000000,"changes":[{"field":"mentions","value":{"media_id":"1","comment_id":"2"}}]}]}`
	for _, tc := range []struct{ body, says string }{
		{comment, "1 instagram 17841400000000001 comments instagram/17841400000000001/comments/17900000000000001 false"},
		{pressed, "a test of mentions"},
		{message("6", "17841400000000001", ""), "to the inbox"},
		{message("17841400000000001", "6", `,"is_echo":true`), "1 instagram 17841400000000001 messages instagram/17841400000000001/messages/m1 false"},
		{"[" + comment + "," + message("6", "17841400000000001", "") + "]", "to the inbox"},
		{"not JSON", "1   unparsed //unparsed/sha256:" + hexSHA256([]byte("not JSON")) + " false"},
	} {
		a := c.mustDo(t, delivery(t, http1, fmt.Sprintf("http://127.0.0.1:%d/", port), secret, []byte(tc.body)))
		if a.status != 200 || string(a.body) != tc.says {
			t.Errorf("%s\nis answered with %d %q, want %q", tc.body, a.status, a.body, tc.says)
		}
	}
	for name, want := range map[string]int{
		"17841400000000001-comments.jsonl": 2, "17841400000000001-messages.jsonl": 3, "0-mentions.jsonl": 1, "_-unparsed.jsonl": 1,
	} {
		if _, err := os.Stat(g.out(name)); err != nil {
			t.Error(err)
		} else if lines := g.lines(t, name); len(lines) != want {
			t.Errorf("%s has %d lines, want %d", name, len(lines), want)
		}
	}
}

func message(from, to, more string) string {
	return fmt.Sprintf(`{"object":"instagram","entry":[{"time":1790000000000,"id":"17841400000000001","messaging":[{"sender":{"id":"%s"},"recipient":{"id":"%s"},"timestamp":1790000000000,"message":{"mid":"m1","text":"t"%s}}]}]}`, from, to, more)
}
