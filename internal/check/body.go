package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// All bodies are what the Test button of Meta's App Dashboard sends: receivers
// tag them as tests.

const (
	testAccount = `"id":"` + meta.TestAccount + `"`
	testParties = `"sender":{"id":"` + meta.TestSender + `"},"recipient":{"id":"` + meta.TestRecipient + `"}`
	testMessage = `"message":{"mid":"` + meta.TestMessage + `","text":"Caf\u00e9 and\/or \ud83d\ude4f"}`
)

// plainBodies returns bodies that programs which read JSON and write it anew
// leave as they are, at least one of them: without escapes, and with the members
// sorted by name.
func plainBodies(now time.Time) [][]byte {
	const spaced = `{"entry": [{"changes": [{"field": "comments", "value": {"id": "17849203761125840", "text": "Checked"}}], ` +
		`"id": "` + meta.TestAccount + `", "time": %d}], "object": "instagram"}`
	return [][]byte{
		fmt.Appendf(nil, `{"entry":[%s],"object":"instagram"}`, entry(now, 0, "Checked")),
		fmt.Appendf(nil, spaced, now.Unix()),
	}
}

// entry returns an entry with a comment, the nth of a batch.
func entry(now time.Time, n int, text string) string {
	return fmt.Sprintf(`{"changes":[{"field":"comments","value":{"id":"178492037611%05d","text":"%s"}}],%s,"time":%d}`,
		25840+n, text, testAccount, now.Unix())
}

// escapedBodies returns bodies in the looks of Meta's two families, the last one
// a message, with all that a program which writes JSON anew writes in another
// way.
func escapedBodies(now time.Time) [][]byte {
	const (
		comments = `{"entry": [{"id": "` + meta.TestAccount + `", "time": %d, "changes": [{"value": {"id": "17849203761125840", ` +
			`"text": "Caf\u00e9 \u2728 and\/or \ud83d\ude4f"}, "field": "comments"}]}], "object": "instagram"}`
		button = `{"object":"instagram","entry":[{"time":%d,` + testAccount + `,"changes":[{"value":{` + testParties +
			`,"timestamp":"1527459824",` + testMessage + `},"field":"messages"}]}]}`
		messages = `{"object":"instagram","entry":[{"time":%d,` + testAccount + `,"messaging":[{` + testParties +
			`,"timestamp":%[1]d,` + testMessage + `}]}]}`
	)
	return [][]byte{
		fmt.Appendf(nil, comments, now.Unix()),
		fmt.Appendf(nil, button, now.UnixMilli()),
		fmt.Appendf(nil, messages, now.UnixMilli()),
	}
}

// batch returns a delivery of as many updates as Meta sends, about 300 KB.
func batch(now time.Time) []byte {
	entries := make([]string, meta.MaxUpdates)
	for n := range entries {
		entries[n] = entry(now, n, strings.Repeat("Checked with a large batch. ", 7))
	}
	return fmt.Appendf(nil, `{"entry":[%s],"object":"instagram"}`, strings.Join(entries, ","))
}

// padded returns a delivery of one update that has size bytes, or a few more if
// size is very small.
func padded(now time.Time, size int) []byte {
	body := plainBodies(now)[0]
	return []byte(strings.Replace(string(body), "Checked", strings.Repeat("x", max(0, size-len(body))+len("Checked")), 1))
}
