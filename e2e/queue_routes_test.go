package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// comment is a delivery of a comment on a medium.
func comment(media, id string) []byte {
	return fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000,"changes":[{"field":"comments","value":{"id":"%s","media":{"id":"%s"},"text":"t"}}]}]}`, id, media)
}

// TestQueueRoutesEvents has a file, named matchers and two applications behind one
// queue: each event goes its own way, though they came in one delivery. Fields
// that nobody wants are forgotten.
func TestQueueRoutesEvents(t *testing.T) {
	t.Parallel()
	messages, rest := startApplication(t), startApplication(t)
	g := newQueueGateway(t)
	g.serve(t, quick+fmt.Sprintf(`fields messages comments
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
	}`, g.out("{instagram.field}.jsonl"), messages.addr, rest.addr))

	const reaction = `{"sender":{"id":"61"},"recipient":{"id":"17841400000000001"},"timestamp":1,"reaction":{"mid":"61.0","action":"react"}}`
	const echoed = `{"sender":{"id":"17841400000000001"},"recipient":{"id":"61"},"timestamp":1,"message":{"mid":"61.1","is_echo":true}}`
	g.send(t, talks(talk("61", 0), reaction, echoed, talk("62", 0)), 200)
	g.send(t, comment("m", "c1"), 200)

	got := messages.awaitDelivered(t, 2)
	for _, a := range got {
		if a.Header.Get("X-Account") != "17841400000000001" || a.Header.Get("X-Hub-Signature-256") != "" {
			t.Errorf("the header is %v", a.Header)
		}
	}
	checkOnce(t, messages.idle(t), 2, 1)
	var ids []string
	for _, a := range rest.awaitDelivered(t, 2) {
		ids = append(ids, a.id())
	}
	slices.Sort(ids)
	if want := []string{"instagram/17841400000000001/comments/c1", "instagram/17841400000000001/messages/61.1"}; !slices.Equal(ids, want) {
		t.Errorf("the rest is %q, want %q", ids, want)
	}
	for name, want := range map[string]int{"messages.jsonl": 3, "comments.jsonl": 1} {
		if lines := g.lines(t, name); len(lines) != want {
			t.Errorf("%s has %d lines, want %d", name, len(lines), want)
		}
	}
	g.awaitMetric(t, `queue_events_total{field="messages",result="delivered"}`, 3)
	if n := g.metric(t, `queue_events_total{field="message_reactions",result="skipped"}`); n != 1 {
		t.Errorf("%v reactions are skipped, want 1", n)
	}
}

// TestQueueIntoAFile has nothing but a file behind the queue.
func TestQueueIntoAFile(t *testing.T) {
	t.Parallel()
	g := newQueueGateway(t)
	g.serve(t, quick+fmt.Sprintf("instagram_file %q {\nformat meta\n}", g.out("events.jsonl")))
	var want []string
	for n := range 20 {
		g.send(t, talks(talk("c", 2*n), talk("c", 2*n+1)), 200)
		want = append(want, string(talks(talk("c", 2*n))), string(talks(talk("c", 2*n+1))))
	}
	g.awaitMetric(t, `queue_events_total{field="messages",result="delivered"}`, 40)
	lines := g.lines(t, "events.jsonl")
	if len(lines) != len(want) {
		t.Errorf("the file has %d lines, want %d", len(lines), len(want))
	}
	for i := range min(len(lines), len(want)) {
		if lines[i] != want[i] {
			t.Fatalf("line %d is %s, want %s", i+1, lines[i], want[i])
		}
	}
}

// TestQueueDeliversToPHP has a real PHP behind the queue, which fails at first.
func TestQueueDeliversToPHP(t *testing.T) {
	t.Parallel()
	p, a := startPHP(t), startApplication(t)
	a.behave(t, rule{Times: 3, Status: 503}, rule{Secret: secret})
	g := newQueueGateway(t)
	g.serve(t, quick+fmt.Sprintf(`root %s
	rewrite /relay.php
	php_fastcgi unix/%s {
		env RELAY %s
	}`, p.root, p.socket, a.addr))
	total := 0
	for _, sample := range samples(t)[:30] {
		g.send(t, sample.body, 200)
	}
	for _, field := range []string{"comments", "messages"} {
		total += int(g.metric(t, fmt.Sprintf("queue_events_total{field=%q,result=%q}", field, "accepted")))
	}
	if total < 5 {
		t.Fatalf("only %d events", total)
	}
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	failed := 0
	for _, got := range a.idle(t) {
		if !got.delivered() {
			failed++
		}
		if got.URI != "/webhooks" || got.Header.Get("Idempotency-Key") == "" || got.Header.Get("Ce-Type") == "" {
			t.Errorf("PHP was told %s %v", got.URI, got.Header)
		}
	}
	if failed != 3 {
		t.Errorf("%d attempts failed, want 3", failed)
	}
}

// TestQueueSharedBySites has two sites that import one snippet: what comes to
// both is in one queue, and in order.
func TestQueueSharedBySites(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	g := newQueueGateway(t)
	second := freePort(t)
	g.start(t, "metrics\nauto_https off", fmt.Sprintf(`(shared) {
	%s
	instagram_queue {
		store bolt %q
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
http://:%d {
	import shared
}
http://:%d {
	import shared
}`, webhook, g.file, quick, a.addr, g.port, second))
	a.behave(t, rule{Hold: true}) // so that all wait in one queue
	other := *g
	other.addr, other.url = fmt.Sprintf("127.0.0.1:%d", second), fmt.Sprintf("http://127.0.0.1:%d/other", second)
	const each = 10
	for n := range each {
		site := []*queueGateway{g, &other}[n%2]
		site.send(t, talks(talk("c", n), talk("d", n)), 200)
	}
	a.awaitHeld(t, 1)
	if n := g.metric(t, g.gauge("pending_events")); n != 2*each {
		t.Errorf("%v events are pending, want %d", n, 2*each)
	}
	a.behave(t)
	attempts := a.awaitDelivered(t, 2*each)
	checkOnce(t, attempts, 2, each)
	for _, got := range attempts {
		_, n := talkOf(t, got.Body)
		if want := []string{"/webhooks", "/other"}[n%2]; got.URI != want {
			t.Errorf("message %d came to %s, want %s", n, got.URI, want)
		}
	}
	if n := strings.Count(g.adminGet(t, "/metrics"), "\ncaddy_instagram_queue_pending_events{"); n != 1 {
		t.Errorf("there are %d queues, want 1", n)
	}
}

// TestQueuesMustNotShareAStore has two queues with other settings for one file.
func TestQueuesMustNotShareAStore(t *testing.T) {
	t.Parallel()
	g := newQueueGateway(t)
	config := g.caddyfile("auto_https off", g.site("respond 200")+"\n"+
		strings.ReplaceAll(g.site("timeout 5s\nrespond 200"), fmt.Sprint(g.port), fmt.Sprint(freePort(t))))
	cmd := exec.Command(caddyBinary, "run", "--config", g.write(t, "Caddyfile", config))
	cmd.Env = g.env
	p := runProcess(t, "gateway", cmd)
	p.mustAwait(t, "two instagram_queue handlers with different settings use the store "+g.file)
	<-p.exited
	if p.cmd.ProcessState.Success() {
		t.Error("it ended as if all were well")
	}
}
