package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// outages are the ways in which an application fails, and the reason by which
// failed attempts are counted.
var outages = []struct {
	name, reason string
	rule         harness.Rule // zero: the port is closed
}{
	{"is down", "502", harness.Rule{}},
	{"answers 500", "500", harness.Rule{Status: 500}},
	{"answers 302", "302", harness.Rule{Status: 302}},
	// An answer after the timeout could not be told from one in time.
	{"hangs", "timeout", harness.Rule{Hold: true, Cut: harness.CutAtOnce}},
	{"hangs up in the header", "502", harness.Rule{Cut: harness.CutInHeader}},
	{"hangs up in the body", "broken", harness.Rule{Cut: harness.CutInBody}},
	{"hangs up in a chunk", "broken", harness.Rule{Cut: harness.CutInChunk}},
}

// TestQueueThroughOutages has an application that fails in one way after the
// other. Meta must not notice, and everything must come once, in order.
func TestQueueThroughOutages(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	// Only an application that hangs is given little time: one that is up could
	// take longer on a busy machine, and would get the event again.
	behind := harness.LongTimeout + "reverse_proxy " + app.Addr
	caddy.ServeQueue(t, harness.QuickRetry+behind)
	const conversations, each = 8, 3
	for i, outage := range outages {
		switch {
		case outage.rule == (harness.Rule{}):
			app.Down()
		case outage.rule.Hold:
			caddy.ReloadQueue(t, harness.QuickRetry+"timeout 250ms\nreverse_proxy "+app.Addr)
			fallthrough
		default:
			app.Behave(outage.rule)
		}
		reason := fmt.Sprintf(`queue_failed_attempts_total{consumer="default",reason=%q}`, outage.reason)
		failed := caddy.Metric(t, reason)
		for n := range each {
			caddy.Deliver(t, harness.MessageToEach(conversations, i*each+n), 200)
		}
		// More than once each.
		caddy.WaitMetricThat(t, reason, func(n float64) bool { return n > failed+2*conversations })
		caddy.CheckPending(t, conversations*each, "while the application "+outage.name)
		switch {
		case outage.rule == (harness.Rule{}):
			app.Up(t)
		case outage.rule.Hold:
			caddy.ReloadQueue(t, harness.QuickRetry+behind)
		}
		app.Behave()
		caddy.WaitQueueEmpty(t)
	}
	harness.CheckOnce(t, app.WaitIdle(t), conversations, len(outages)*each)
	if n := caddy.Metric(t, `queue_events_total{consumer="default",field="messages",result="dead"}`); n != 0 {
		t.Errorf("%v events are dead", n)
	}
}

// TestQueueLogsCauseOfFailedAttempt has nobody at the address of the application:
// the log must tell why the attempt failed, and not only that Caddy answered 502.
func TestQueueLogsCauseOfFailedAttempt(t *testing.T) {
	t.Parallel()
	addr := harness.FreeAddr(t)
	for name, test := range map[string]struct{ handler, cause string }{
		"port":   {"reverse_proxy " + addr, "dial tcp " + addr + ": connect: connection refused"},
		"socket": {"reverse_proxy unix//nonexistent/s", "dial unix /nonexistent/s: connect: no such file or directory"},
		"PHP":    {"php_fastcgi unix//nonexistent/s", "dial unix /nonexistent/s: connect: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caddy := harness.NewCaddy(t)
			caddy.ServeQueue(t, harness.QuickRetry+test.handler)
			caddy.Deliver(t, harness.Messages("c.0"), 200)
			line := caddy.WaitOutput(t, `(?m)^.*"attempt to deliver an event failed.*$`)[0]
			var record struct{ Reason, Cause string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			if record.Reason != "502" || !strings.Contains(record.Cause, test.cause) {
				t.Errorf("failed with %q: %q, want 502: %q", record.Reason, record.Cause, test.cause)
			}
		})
	}
}

// TestQueueFailingConversationBlocksItself has one conversation that fails and
// one that hangs: those behind wait, all others do not.
func TestQueueFailingConversationBlocksItself(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Match: "<hangs>", Hold: true}, harness.Rule{Match: "<fails>", Status: 500})
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"concurrency 4\nreverse_proxy "+app.Addr)
	const others, each = 20, 5
	caddy.Deliver(t, harness.Messages("hangs.0", "fails.0"), 200)
	app.WaitHeld(t, 1)
	for n := range each {
		caddy.Deliver(t, harness.Messages(fmt.Sprintf("hangs.%d", n), fmt.Sprintf("fails.%d", n)), 200) // the first are duplicates
		caddy.Deliver(t, harness.MessageToEach(others, n), 200)
	}
	caddy.WaitMetric(t, caddy.Gauge("pending_events"), 2*each)
	for _, got := range app.WaitAttempts(t, 1) {
		if conversation, n := got.Message(t); n != 0 && (conversation == "hangs" || conversation == "fails") {
			t.Errorf("message %d of %s overtook the first", n, conversation)
		}
	}
	app.Behave()
	caddy.WaitQueueEmpty(t)
	harness.CheckOnce(t, app.WaitIdle(t), others+2, each)
}

// TestQueueHonoursRetryAfter has an application that asks for time.
func TestQueueHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t,
		harness.Rule{Match: "<busy>", Times: 1, Status: 429, RetryAfter: "2"},
		harness.Rule{Match: "<closed>", Times: 1, Status: 503, RetryAfter: "3600"},
	)
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Messages("closed.0", "closed.1", "busy.0", "busy.1", "c.0", "c.1"), 200)
	var refused, again time.Time
	for _, got := range app.WaitDelivered(t, 4) {
		conversation, n := got.Message(t)
		switch {
		case got.Status == 429:
			refused = got.End
		case conversation == "busy" && n == 0:
			again = got.Begin
		case conversation == "closed" && got.Delivered():
			t.Errorf("message %d of an hour later came", n)
		}
	}
	if waited := again.Sub(refused); waited < 2*time.Second {
		t.Errorf("the next attempt came after %s, want at least 2s", waited)
	}
	caddy.WaitMetric(t, caddy.Gauge("pending_events"), 2) // others need not wait for these
}

// TestQueueDeadLetters has an application that refuses events for good, and one
// that fails for longer than they are tried. Their conversations go on.
func TestQueueDeadLetters(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t,
		harness.Rule{Match: "message 1 of <gone>", Status: 410},
		harness.Rule{Match: "message 1 of <wrong>", Status: 422},
		harness.Rule{Match: "message 1 of <late>", Status: 503, RetryAfter: "3600"},
	)
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, `retry {
		first 10ms
		max 20ms
		for 3s
	}
	min_free_space 0B
	dead 400 422
	reverse_proxy `+app.Addr)
	conversations := []string{"gone", "wrong", "late"}
	for n := range 3 {
		for _, c := range conversations {
			caddy.Deliver(t, harness.Messages(fmt.Sprintf("%s.%d", c, n)), 200)
		}
	}
	attempts := make(map[string]int)
	for _, got := range app.WaitDelivered(t, 6) {
		if _, n := got.Message(t); got.Delivered() == (n == 1) {
			t.Errorf("%s is answered with %d", got.ID(), got.Status)
		}
		attempts[got.ID()]++
	}
	caddy.WaitQueueEmpty(t)
	for name, want := range map[string]float64{
		caddy.Gauge("dead_events"): 3,
		`queue_events_total{consumer="default",field="messages",result="dead"}`: 3,
		`queue_failed_attempts_total{consumer="default",reason="410"}`:          1,
		`queue_failed_attempts_total{consumer="default",reason="422"}`:          1,
		`queue_failed_attempts_total{consumer="default",reason="503"}`:          2,
	} {
		caddy.WaitMetric(t, name, want)
	}
	caddy.WaitOutput(t, "event could not be delivered and is a dead letter now")
	caddy.Stop()

	dead := make(map[string]string)
	for _, e := range caddy.Stored(t, queue.Filter{State: queue.Dead}) {
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
