package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueRoutesEvents has a file, named matchers and two applications behind one
// queue: each event goes its own way, though they came in one delivery. Fields
// that nobody wants are forgotten.
func TestQueueRoutesEvents(t *testing.T) {
	t.Parallel()
	messages, rest := harness.StartApp(t), harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+fmt.Sprintf(`fields messages comments
	instagram_file %q {
		format meta
	}
	@messages instagram {
		field messages
		echo false
	}
	handle @messages {
		request_header -X-Hub-Signature*
		reverse_proxy %s {
			header_up X-Account {instagram.account}
		}
	}
	handle {
		reverse_proxy %s
	}`, caddy.Out("{instagram.field}.jsonl"), messages.Addr, rest.Addr))

	const account, sender = `{"id":"17841400000000001"}`, `{"id":"61"}`
	const reaction = `{"sender":` + sender + `,"recipient":` + account + `,"timestamp":1,"reaction":{"mid":"61.0","action":"react"}}`
	const echoed = `{"sender":` + account + `,"recipient":` + sender + `,"timestamp":1,"message":{"mid":"61.1","is_echo":true}}`
	caddy.Deliver(t, harness.Messaging(harness.Message("61.0"), reaction, echoed, harness.Message("62.0")), 200)
	caddy.Deliver(t, harness.Comment("c1"), 200)

	for _, got := range messages.WaitDelivered(t, 2) {
		if got.Header.Get("X-Account") != "17841400000000001" || got.Header.Get("X-Hub-Signature-256") != "" {
			t.Errorf("the header is %v", got.Header)
		}
	}
	harness.CheckOnce(t, messages.WaitIdle(t), 2, 1)
	var ids []string
	for _, got := range rest.WaitDelivered(t, 2) {
		ids = append(ids, got.ID())
	}
	slices.Sort(ids)
	want := []string{"instagram/17841400000000001/comments/c1", "instagram/17841400000000001/messages/61.1"}
	if !slices.Equal(ids, want) {
		t.Errorf("the rest is %q, want %q", ids, want)
	}
	for name, want := range map[string]int{"messages.jsonl": 3, "comments.jsonl": 1} {
		if lines := caddy.Lines(t, name); len(lines) != want {
			t.Errorf("%s has %d lines, want %d", name, len(lines), want)
		}
	}
	caddy.WaitMetric(t, `queue_events_total{consumer="default",field="messages",result="delivered"}`, 3)
	if n := caddy.Metric(t, `queue_events_total{consumer="",field="message_reactions",result="skipped"}`); n != 1 {
		t.Errorf("%v reactions are skipped, want 1", n)
	}
}

// TestQueueIntoAFile has nothing but a file behind the queue.
func TestQueueIntoAFile(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+fmt.Sprintf("instagram_file %q {\nformat meta\n}", caddy.Out("events.jsonl")))
	var want []string
	for n := range 20 {
		first, second := fmt.Sprintf("c.%d", 2*n), fmt.Sprintf("c.%d", 2*n+1)
		caddy.Deliver(t, harness.Messages(first, second), 200)
		want = append(want, string(harness.Messages(first)), string(harness.Messages(second)))
	}
	caddy.WaitMetric(t, `queue_events_total{consumer="default",field="messages",result="delivered"}`, 40)
	checkLines(t, caddy.Lines(t, "events.jsonl"), want)
}

// TestQueueSharedBySites has two sites that import one snippet: what comes to
// both is in one queue, and in order.
func TestQueueSharedBySites(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Hold: true}) // so that all wait in one queue
	caddy := harness.NewCaddy(t)
	other := *caddy
	other.Addr = harness.FreeAddr(t)
	other.URL = other.Base("127.0.0.1") + "/other"
	caddy.Start(t, fmt.Sprintf(`(shared) {
	%s
	instagram_queue {
		store sqlite %q
		%s
		@other instagram {
			field comments
		}
		handle @other {
			reverse_proxy %s
		}
		handle {
			reverse_proxy %[4]s
		}
	}
}
%s {
	import shared
}
%s {
	import shared
}`, harness.Webhook, caddy.Queue, harness.QuickRetry, app.Addr, caddy.Name, other.Base("")))
	const each = 10
	for n := range each {
		site := []*harness.Caddy{caddy, &other}[n%2]
		site.Deliver(t, harness.Messages(fmt.Sprintf("c.%d", n), fmt.Sprintf("d.%d", n)), 200)
	}
	app.WaitHeld(t, 1)
	caddy.CheckPending(t, 2*each, "the application holds one event")
	app.Behave()
	attempts := app.WaitDelivered(t, 2*each)
	harness.CheckOnce(t, attempts, 2, each)
	for _, got := range attempts {
		_, n := got.Message(t)
		if want := []string{"/webhooks", "/other"}[n%2]; got.URI != want {
			t.Errorf("message %d came to %s, want %s", n, got.URI, want)
		}
	}
	if n := strings.Count(caddy.Metrics(t), "caddy_instagram_queue_pending_events{"); n != 1 {
		t.Errorf("there are %d queues, want 1", n)
	}
}

// TestQueuesMustNotShareAStore has two queues with other settings for one file.
func TestQueuesMustNotShareAStore(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	second := *caddy
	second.Name = second.Base("second.example.com")
	caddy.StartFails(t, caddy.QueueSite("respond 200")+second.QueueSite("timeout 5s\nrespond 200"),
		"two instagram_queue handlers with different settings use the store "+caddy.Queue)
}
