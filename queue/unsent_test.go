package queue

import (
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// TestMessageOf tells the parts of a message, and what takes it back, from what others do
// with it.
func TestMessageOf(t *testing.T) {
	t.Parallel()
	item := func(list, key, members string) string {
		return `{"object":"instagram","entry":[{"id":"178","` + list + `":[{"sender":{"id":"5"},"timestamp":1,"` + key + `":{"mid":"m"` + members + `}}]}]}`
	}
	for body, want := range map[string]string{
		item("messaging", "message", `,"text":"hello"`):                                                     "178/m",
		item("messaging", "message", `,"is_echo":true`):                                                     "178/m",
		item("messaging", "message", `,"is_deleted":true`):                                                  "178/m",
		item("messaging", "message_edit", `,"text":"hallo"`):                                                "178/m",
		item("standby", "message", `,"text":"hello"`):                                                       "178/m",
		item("messaging", "reaction", `,"action":"react"`):                                                  "",
		item("standby", "reaction", `,"action":"react"`):                                                    "",
		item("messaging", "read", ""):                                                                       "",
		`{"object":"instagram","entry":[{"id":"178","changes":[{"field":"comments","value":{"id":"m"}}]}]}`: "",
		"m": "",
	} {
		if got := messageOf(&event.Split([]byte(body))[0]); got != want {
			t.Errorf("of %s: %q, want %q", body, got, want)
		}
	}
}
