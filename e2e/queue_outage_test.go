package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/queue"
	"github.com/caddy-instagram/webhooks/queue/bolt"
)

// outages are the ways in which an application fails, and the reason by which
// failed attempts are counted.
var outages = []struct {
	name, reason string
	rule         rule // zero: the port is closed
}{
	{"is down", "502", rule{}},
	{"answers 500", "500", rule{Status: 500}},
	{"answers 302", "302", rule{Status: 302}},
	{"hangs", "timeout", rule{Hold: true}},
	{"hangs up in the header", "502", rule{Cut: "header"}},
	{"hangs up in the body", "broken", rule{Cut: "body"}},
	{"hangs up in a chunk", "broken", rule{Cut: "chunk"}},
}

// TestQueueThroughOutages has an application that fails in one way after the
// other. Meta must not notice, and everything must come once, in order.
func TestQueueThroughOutages(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	g := newQueueGateway(t)
	// Only an application that hangs is given little time: one that is up could
	// take longer on a busy machine, and would get the event again.
	behind := patientQueue + "reverse_proxy " + a.addr
	g.serve(t, quick+behind)
	const conversations, each = 8, 3
	for i, outage := range outages {
		switch {
		case outage.rule == (rule{}):
			a.down(t)
		case outage.rule.Hold:
			g.change(t, quick+"timeout 250ms\nreverse_proxy "+a.addr)
			fallthrough
		default:
			a.behave(t, outage.rule)
		}
		reason := fmt.Sprintf("queue_failed_attempts_total{reason=%q}", outage.reason)
		failed := g.metric(t, reason)
		for n := range each {
			var messages []string
			for c := range conversations {
				messages = append(messages, talk(fmt.Sprintf("c%d", c), i*each+n))
			}
			g.send(t, talks(messages...), 200)
		}
		// More than once each.
		g.awaitMetricThat(t, reason, func(n float64) bool { return n > failed+2*conversations })
		if n := g.metric(t, g.gauge("pending_events")); n != conversations*each {
			t.Errorf("while the application %s, %v events are pending, want %d", outage.name, n, conversations*each)
		}
		switch {
		case outage.rule == (rule{}):
			a.up(t)
		case outage.rule.Hold:
			g.change(t, quick+behind)
		}
		a.behave(t)
		g.awaitMetric(t, g.gauge("pending_events"), 0)
	}
	checkOnce(t, a.idle(t), conversations, len(outages)*each)
	if n := g.metric(t, `queue_events_total{field="messages",result="dead"}`); n != 0 {
		t.Errorf("%v events are dead", n)
	}
}

// TestQueueFailingConversationBlocksItself has one conversation that fails and
// one that hangs: those behind wait, all others do not.
func TestQueueFailingConversationBlocksItself(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.behave(t, rule{Match: "<hangs>", Hold: true}, rule{Match: "<fails>", Status: 500})
	g := newQueueGateway(t)
	g.serve(t, quick+"concurrency 4\nreverse_proxy "+a.addr)
	const others, each = 20, 5
	g.send(t, talks(talk("hangs", 0), talk("fails", 0)), 200)
	a.awaitHeld(t, 1)
	for n := range each {
		messages := []string{talk("hangs", n), talk("fails", n)} // the first are duplicates
		for c := range others {
			messages = append(messages, talk(fmt.Sprintf("c%d", c), n))
		}
		g.send(t, talks(messages...), 200)
	}
	g.awaitMetric(t, g.gauge("pending_events"), 2*each)
	for _, got := range a.await(t, 1) {
		if conversation, n := talkOf(t, got.Body); n != 0 && (conversation == "hangs" || conversation == "fails") {
			t.Errorf("message %d of %s overtook the first", n, conversation)
		}
	}
	a.behave(t)
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	checkOnce(t, a.idle(t), others+2, each)
}

// TestQueueHonoursRetryAfter has an application that asks for time.
func TestQueueHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.behave(t,
		rule{Match: "<busy>", Times: 1, Status: 429, RetryAfter: "2"},
		rule{Match: "<closed>", Times: 1, Status: 503, RetryAfter: "3600"},
	)
	g := newQueueGateway(t)
	g.serve(t, quick+"reverse_proxy "+a.addr)
	g.send(t, talks(talk("closed", 0), talk("closed", 1), talk("busy", 0), talk("busy", 1), talk("c", 0), talk("c", 1)), 200)
	var refused, again int64
	for _, got := range a.awaitDelivered(t, 4) {
		conversation, n := talkOf(t, got.Body)
		switch {
		case got.Status == 429:
			refused = got.End
		case conversation == "busy" && n == 0:
			again = got.Begin
		case conversation == "closed" && got.delivered():
			t.Errorf("message %d of an hour later came", n)
		}
	}
	if waited := time.Duration(again-refused) * time.Microsecond; waited < 2*time.Second {
		t.Errorf("the next attempt came after %s, want at least 2s", waited)
	}
	g.awaitMetric(t, g.gauge("pending_events"), 2) // others need not wait for these
}

// TestQueueDeadLetters has an application that refuses events for good, and one
// that fails for longer than they are tried. Their conversations go on.
func TestQueueDeadLetters(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.behave(t,
		rule{Match: "message 1 of <gone>", Status: 410},
		rule{Match: "message 1 of <wrong>", Status: 422},
		rule{Match: "message 1 of <late>", Status: 503, RetryAfter: "3600"},
	)
	g := newQueueGateway(t)
	g.serve(t, `retry {
		first 10ms
		max 20ms
		for 3s
	}
	min_free_space 0B
	dead 400 422
	reverse_proxy `+a.addr)
	conversations := []string{"gone", "wrong", "late"}
	for n := range 3 {
		for _, c := range conversations {
			g.send(t, talks(talk(c, n)), 200)
		}
	}
	attempts := make(map[string]int)
	for _, got := range a.awaitDelivered(t, 6) {
		if _, n := talkOf(t, got.Body); got.delivered() == (n == 1) {
			t.Errorf("%s is answered with %d", got.id(), got.Status)
		}
		attempts[got.id()]++
	}
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	for name, want := range map[string]float64{
		g.gauge("dead_events"):                               3,
		`queue_events_total{field="messages",result="dead"}`: 3,
		`queue_failed_attempts_total{reason="410"}`:          1,
		`queue_failed_attempts_total{reason="422"}`:          1,
		`queue_failed_attempts_total{reason="503"}`:          2,
	} {
		g.awaitMetric(t, name, want)
	}
	g.mustAwait(t, "event could not be delivered and is a dead letter now")
	g.stop()

	dead := make(map[string]string)
	for _, e := range g.stored(t, queue.Filter{State: queue.Dead}) {
		dead[e.Identity[strings.LastIndex(e.Identity, "/")+1:]] = fmt.Sprintf("%d: %s", e.Attempts, e.LastError)
		if e.Attempts != attempts[e.Identity] {
			t.Errorf("%s has %d attempts, want %d", e.Identity, e.Attempts, attempts[e.Identity])
		}
	}
	for mid, want := range map[string]string{
		"gone.1":  "1: 410: the application says 410",
		"wrong.1": "1: 422: the application says 422",
		"late.1":  "2: 503: the application says 503", // the last at the end of its time
	} {
		if dead[mid] != want {
			t.Errorf("the dead letter %s says %q, want %q", mid, dead[mid], want)
		}
	}
}

// open opens the queue of a gateway that was stopped, and checks its file.
func (g *queueGateway) open(t *testing.T) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(g.file, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
	return store
}

// stored returns events in the queue of a gateway that was stopped.
func (g *queueGateway) stored(t *testing.T, filter queue.Filter) []queue.Event {
	t.Helper()
	store := g.open(t)
	events, err := store.List(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return events
}
