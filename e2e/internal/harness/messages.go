package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event/sample"
)

// Message is a message with the account, as it stands in a delivery. Its mid is
// "conversation.number", such as "c.0".
func Message(mid string) string {
	conversation, n := splitMID(mid)
	return fmt.Sprintf(`{"sender":{"id":"%s"},"recipient":{"id":"17841400000000001"},"timestamp":%d,`+
		`"message":{"mid":"%s","text":"message %d of <%[1]s>"}}`, conversation, 1790000000000+n, mid, n)
}

// Messages is a delivery of messages, which are named by their mids.
func Messages(mids ...string) []byte {
	var items []string
	for _, mid := range mids {
		items = append(items, Message(mid))
	}
	return Messaging(items...)
}

// MessageToEach is a delivery of the n-th message of conversations c0, c1 and so
// on.
func MessageToEach(conversations, n int) []byte {
	var mids []string
	for c := range conversations {
		mids = append(mids, fmt.Sprintf("c%d.%d", c, n))
	}
	return Messages(mids...)
}

// Messaging is a delivery of what happened in conversations.
func Messaging(items ...string) []byte {
	return []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000000,"messaging":[` +
		strings.Join(items, ",") + `]}]}`)
}

// Change is a delivery of one change of a field.
func Change(field, value string) []byte {
	return Changes(fmt.Sprintf(`{"field":"%s","value":%s}`, field, value))
}

// Changes is a delivery of several.
func Changes(items ...string) []byte {
	return []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000,"changes":[` +
		strings.Join(items, ",") + `]}]}`)
}

// Comment is a delivery of a comment.
func Comment(id string) []byte {
	return Change("comments", fmt.Sprintf(`{"id":"%s","media":{"id":"m"},"text":"t"}`, id))
}

// MID returns the mid of the only message of an attempt.
func (a *Attempt) MID(t testing.TB) string {
	t.Helper()
	var d struct {
		Entry []struct {
			Messaging []struct{ Message struct{ Mid string } }
		}
	}
	if err := json.Unmarshal(a.Body, &d); err != nil || len(d.Entry) != 1 || len(d.Entry[0].Messaging) != 1 {
		t.Fatalf("%q is no delivery of one message: %v", a.Body, err)
	}
	return d.Entry[0].Messaging[0].Message.Mid
}

// Message returns the conversation and the number of the only message.
func (a *Attempt) Message(t testing.TB) (conversation string, n int) {
	t.Helper()
	return splitMID(a.MID(t))
}

// splitMID returns the conversation and the number of a message; -1 for a mid
// that is not of [Message].
func splitMID(mid string) (conversation string, n int) {
	conversation, number, _ := strings.Cut(mid, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		n = -1
	}
	return conversation, n
}

// CheckOrder fails the test unless the application has taken each message once,
// and those of each conversation in order, from 0 on. It returns how many it has
// taken of each.
func CheckOrder(t testing.TB, attempts []Attempt) map[string]int {
	t.Helper()
	next := make(map[string]int)
	for i := range attempts {
		if !attempts[i].Delivered() {
			continue
		}
		conversation, n := attempts[i].Message(t)
		if n != next[conversation] {
			t.Errorf("message %d of %s came when %d was due", n, conversation, next[conversation])
		}
		next[conversation] = n + 1
	}
	return next
}

// CheckOnce is CheckOrder for so many conversations, of so many messages each.
func CheckOnce(t testing.TB, attempts []Attempt, conversations, each int) {
	t.Helper()
	taken := CheckOrder(t, attempts)
	if len(taken) != conversations {
		t.Errorf("messages of %d conversations came, want %d", len(taken), conversations)
	}
	for conversation, n := range taken {
		if n != each {
			t.Errorf("%d messages of %s came, want %d", n, conversation, each)
		}
	}
}

// Sample is one delivery as Meta sends it.
type Sample struct {
	Name string
	Body []byte
}

// Samples returns what stands in testdata/deliveries, sorted by name, and a batch
// as large as Meta makes them.
func Samples(t testing.TB) []Sample {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "deliveries", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 30 {
		t.Fatalf("only %d samples in testdata/deliveries", len(paths))
	}
	slices.Sort(paths)
	var all []Sample
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Sample{strings.TrimSuffix(filepath.Base(path), ".json"), body})
	}
	return append(all, Sample{"batch-of-1000", Batch(1000)})
}

// Batch is one delivery of n messages.
func Batch(n int) []byte {
	return sample.New(1).Delivery(sample.StyleOf("messages"), n, "messages")
}
