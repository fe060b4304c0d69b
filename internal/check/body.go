package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// All bodies are what the Test button of Meta's App Dashboard sends: the account
// "0" and ids that are nobody's. Receivers tag them as tests.

// plainBodies returns bodies that programs which read JSON and write it anew
// leave as they are, at least one of them: without escapes, and with the members
// sorted by name.
func plainBodies(now time.Time) [][]byte {
	return [][]byte{
		fmt.Appendf(nil, `{"entry":[{"changes":[%s],"id":"0","time":%d}],"object":"instagram"}`, update(0, "Checked"), now.Unix()),
		fmt.Appendf(nil, `{"entry": [{"changes": [{"field": "comments", "value": {"id": "17849203761125840", "text": "Checked"}}], "id": "0", "time": %d}], "object": "instagram"}`, now.Unix()),
	}
}

// update returns an update with a text, the nth of a batch.
func update(n int, text string) string {
	return fmt.Sprintf(`{"field":"comments","value":{"id":"178492037611%05d","text":"%s"}}`, 25840+n, text)
}

// escapedBodies returns bodies in the looks of Meta's two families, the last one
// a message, with all that a program which writes JSON anew writes in another
// way.
func escapedBodies(now time.Time) [][]byte {
	return [][]byte{
		fmt.Appendf(nil, `{"entry": [{"id": "0", "time": %d, "changes": [{"value": {"id": "17849203761125840", "text": "Caf\u00e9 \u2728 and\/or \ud83d\ude4f"}, "field": "comments"}]}], "object": "instagram"}`,
			now.Unix()),
		fmt.Appendf(nil, `{"object":"instagram","entry":[{"time":%d,"id":"0","changes":[{"value":{"sender":{"id":"12334"},"recipient":{"id":"23245"},"timestamp":"1527459824","message":{"mid":"random_mid","text":"Caf\u00e9 and\/or \ud83d\ude4f"}},"field":"messages"}]}]}`,
			now.UnixMilli()),
		fmt.Appendf(nil, `{"object":"instagram","entry":[{"time":%d,"id":"0","messaging":[{"sender":{"id":"12334"},"recipient":{"id":"23245"},"timestamp":%[1]d,"message":{"mid":"random_mid","text":"Caf\u00e9 and\/or \ud83d\ude4f"}}]}]}`,
			now.UnixMilli()),
	}
}

// batch returns a delivery of as many updates as Meta sends, about 300 KB.
func batch(now time.Time) []byte {
	var b strings.Builder
	b.WriteString(`{"entry":[`)
	text := strings.Repeat("Checked with a large batch. ", 7)
	for n := range meta.MaxUpdates {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"changes":[%s],"id":"0","time":%d}`, update(n, text), now.Unix())
	}
	b.WriteString(`],"object":"instagram"}`)
	return []byte(b.String())
}

// padded returns a delivery of one update that has size bytes, or a few more if
// size is very small.
func padded(now time.Time, size int) []byte {
	body := plainBodies(now)[0]
	return []byte(strings.Replace(string(body), "Checked", strings.Repeat("x", max(0, size-len(body))+len("Checked")), 1))
}
