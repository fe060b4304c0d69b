package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueIsFull has a limit on what may wait, in events and in bytes: what is
// beyond is refused as a whole, and accepted when there is room.
func TestQueueIsFull(t *testing.T) {
	t.Parallel()
	first, second := harness.Messages("c.0"), harness.Messages("c.1", "d.0", "d.1")
	for _, limit := range []string{"3", fmt.Sprintf("%dB", 4*len(first)-1)} {
		t.Run("max_pending "+limit, func(t *testing.T) {
			t.Parallel()
			app := harness.StartApp(t)
			app.Down()
			caddy := harness.NewCaddy(t)
			caddy.ServeQueue(t, harness.QuickRetry+"max_pending "+limit+"\nreverse_proxy "+app.Addr)
			caddy.Deliver(t, first, 200)
			began := time.Now()
			for range 3 {
				refused := caddy.Deliver(t, second, 503)
				if got := refused.Header.Get("Retry-After"); got != "30" {
					t.Errorf("Retry-After is %q", got)
				}
			}
			caddy.CheckPending(t, 1, "a refused delivery is not kept in part")
			since := caddy.Metric(t, caddy.Refusing())
			if from, to := float64(began.Unix()), float64(time.Now().Unix()+1); since < from || since > to {
				t.Errorf("refusing since %f, want a time between %f and %f", since, from, to)
			}
			caddy.WaitOutput(t, "refusing deliveries: they cannot be stored.*the queue is full")

			app.Up(t)
			caddy.WaitQueueEmpty(t)
			caddy.Deliver(t, second, 200)
			if since := caddy.Metric(t, caddy.Refusing()); since != 0 {
				t.Errorf("refusing since %f, want not at all", since)
			}
			caddy.WaitQueueEmpty(t)
			harness.CheckOnce(t, app.WaitIdle(t), 2, 2)
		})
	}
}

// TestQueueRemembersNothingOfWhatItRefused has the queue recognise duplicates: a
// delivery that was refused and comes again is none, nor is one in part.
func TestQueueRemembersNothingOfWhatItRefused(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	app.Down()
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"max_pending 3\nreverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Messages("c.0", "c.1"), 200)
	for range 2 {
		caddy.Deliver(t, harness.Messages("c.1", "c.2", "c.3"), 503)
	}
	caddy.Deliver(t, harness.Messages("c.1", "c.2"), 200) // one of them is known
	caddy.Deliver(t, harness.Messages("c.0", "c.1"), 200) // takes no room
	app.Up(t)
	caddy.WaitQueueEmpty(t)
	caddy.Deliver(t, harness.Messages("c.1", "c.2", "c.3"), 200)
	caddy.WaitQueueEmpty(t)
	harness.CheckOnce(t, app.WaitIdle(t), 1, 4)
	if n := caddy.Metric(t, `queue_events_total{consumer="",field="messages",result="duplicate"}`); n != 5 {
		t.Errorf("%v duplicates are counted, want 5", n)
	}
}

// TestQueueLeavesSpaceFree has less space than must stay free: deliveries are
// refused, and what waits is delivered.
func TestQueueLeavesSpaceFree(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	app.Down()
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Messages("c.0", "c.1"), 200)
	noSpace := strings.Replace(harness.QuickRetry, "min_free_space 0B", "min_free_space 1EiB", 1)
	caddy.ReloadQueue(t, noSpace+"reverse_proxy "+app.Addr)
	refused := caddy.Deliver(t, harness.Messages("c.2"), 503)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	caddy.WaitOutput(t, "refusing deliveries: they cannot be stored.*the queue is full: .* free, .*min_free_space is ")
	app.Up(t)
	caddy.WaitQueueEmpty(t)
	caddy.ReloadQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Messages("c.2"), 200)
	harness.CheckOnce(t, app.WaitDelivered(t, 3), 1, 3)
}

// TestQueueMetrics compares all metrics of the queue with what was done.
func TestQueueMetrics(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t,
		harness.Rule{Match: "<gone>", Status: 410},
		harness.Rule{Match: "<held>", Hold: true},
		harness.Rule{Match: "<slow>", Times: 2, Status: 503},
	)
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+harness.LongTimeout+"fields messages comments\nreverse_proxy "+app.Addr)
	for _, name := range []string{
		"pending_events", "pending_bytes", "in_flight_events", "dead_events", "oldest_seconds", "paused",
	} {
		caddy.CheckMetric(t, caddy.Gauge(name), 0)
	}
	caddy.CheckMetric(t, caddy.Refusing(), 0)
	for _, name := range []string{ // that are there before there is anything to count
		`queue_events_total{consumer="default",field="messages",result="dead"}`, `queue_events_total{consumer="",field="mentions",result="skipped"}`,
		`queue_events_total{consumer="",field="other",result="accepted"}`, `queue_failed_attempts_total{consumer="default",reason="timeout"}`,
		`queue_failed_attempts_total{consumer="default",reason="502"}`, `queue_delivery_seconds_count{consumer="default"}`,
	} {
		caddy.CheckMetric(t, name, 0)
	}
	began := time.Now()
	caddy.Deliver(t, harness.Messages("gone.0", "slow.0", "held.0", "held.1"), 200)
	caddy.Deliver(t, harness.Messages("gone.0", "slow.0", "new.0"), 200)
	caddy.Deliver(t, harness.Comment("c1"), 200)
	caddy.Deliver(t, harness.Change("mentions", `{"media_id":"1","comment_id":"2"}`), 200)
	app.WaitHeld(t, 1)
	caddy.WaitMetric(t, caddy.Gauge("pending_events"), 2)
	size := 0
	for n := range 2 {
		size += len(harness.Messages(fmt.Sprintf("held.%d", n)))
	}
	want := map[string]float64{
		caddy.Gauge("pending_bytes"):                                                 float64(size),
		caddy.Gauge("in_flight_events"):                                              1,
		caddy.Gauge("dead_events"):                                                   1,
		`queue_events_total{consumer="",field="messages",result="accepted"}`:         5,
		`queue_events_total{consumer="",field="messages",result="duplicate"}`:        2,
		`queue_events_total{consumer="default",field="messages",result="delivered"}`: 2,
		`queue_events_total{consumer="default",field="messages",result="dead"}`:      1,
		`queue_events_total{consumer="",field="comments",result="accepted"}`:         1,
		`queue_events_total{consumer="default",field="comments",result="delivered"}`: 1,
		`queue_events_total{consumer="",field="mentions",result="skipped"}`:          1,
		`queue_failed_attempts_total{consumer="default",reason="410"}`:               1,
		`queue_failed_attempts_total{consumer="default",reason="503"}`:               2,
		`queue_delivery_seconds_count{consumer="default"}`:                           3,
	}
	check := func() {
		t.Helper()
		for name, want := range want {
			caddy.WaitMetric(t, name, want) // an event is counted just after it is settled
		}
	}
	check()
	if age := caddy.Metric(t, caddy.Gauge("oldest_seconds")); age <= 0 || age > time.Since(began).Seconds() {
		t.Errorf("the oldest event is %fs old, after %s", age, time.Since(began))
	}
	for _, name := range []string{"queue_commit_seconds_count", "queue_commit_operations_sum", `queue_delivery_seconds_sum{consumer="default"}`} {
		if caddy.Metric(t, name) <= 0 {
			t.Errorf("%s counts nothing", name)
		}
	}
	app.Behave()
	caddy.WaitQueueEmpty(t)
	caddy.ReloadQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr) // counts go on
	want[caddy.Gauge("pending_bytes")], want[caddy.Gauge("in_flight_events")] = 0, 0
	want[caddy.Gauge("oldest_seconds")] = 0
	want[`queue_events_total{consumer="default",field="messages",result="delivered"}`] = 4
	want[`queue_delivery_seconds_count{consumer="default"}`] = 5
	check()
}
