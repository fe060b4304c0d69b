package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestQueueIsFull has a limit on what may wait, in events and in bytes: what is
// beyond is refused as a whole, and accepted when there is room.
func TestQueueIsFull(t *testing.T) {
	t.Parallel()
	first, second := talks(talk("c", 0)), talks(talk("c", 1), talk("d", 0), talk("d", 1))
	for _, limit := range []string{"3", fmt.Sprintf("%dB", 4*len(first)-1)} {
		t.Run("max_pending "+limit, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t)
			a.down(t)
			g := newQueueGateway(t)
			g.serve(t, quick+"max_pending "+limit+"\nreverse_proxy "+a.addr)
			g.send(t, first, 200)
			began := time.Now()
			for range 3 {
				refused := g.send(t, second, 503)
				if got := refused.header.Get("Retry-After"); got != "30" {
					t.Errorf("Retry-After is %q", got)
				}
			}
			if n := g.metric(t, g.gauge("pending_events")); n != 1 {
				t.Errorf("%v events are pending, want 1: a refused delivery is kept in part", n)
			}
			since := g.metric(t, g.gauge("refusing_since_timestamp_seconds"))
			if from, to := float64(began.Unix()), float64(time.Now().Unix()+1); since < from || since > to {
				t.Errorf("refusing since %f, want a time between %f and %f", since, from, to)
			}
			g.mustAwait(t, "refusing deliveries: they cannot be stored.*the queue is full")

			a.up(t)
			g.awaitMetric(t, g.gauge("pending_events"), 0)
			g.send(t, second, 200)
			if since := g.metric(t, g.gauge("refusing_since_timestamp_seconds")); since != 0 {
				t.Errorf("refusing since %f, want not at all", since)
			}
			g.awaitMetric(t, g.gauge("pending_events"), 0)
			checkOnce(t, a.idle(t), 2, 2)
		})
	}
}

// TestQueueRemembersNothingOfWhatItRefused has the queue recognise duplicates: a
// delivery that was refused and comes again is none, nor is one in part.
func TestQueueRemembersNothingOfWhatItRefused(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.down(t)
	g := newQueueGateway(t)
	g.serve(t, quick+"max_pending 3\nreverse_proxy "+a.addr)
	g.send(t, talks(talk("c", 0), talk("c", 1)), 200)
	for range 2 {
		g.send(t, talks(talk("c", 1), talk("c", 2), talk("c", 3)), 503)
	}
	g.send(t, talks(talk("c", 1), talk("c", 2)), 200) // one of them is known
	g.send(t, talks(talk("c", 0), talk("c", 1)), 200) // takes no room
	a.up(t)
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	g.send(t, talks(talk("c", 1), talk("c", 2), talk("c", 3)), 200)
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	checkOnce(t, a.idle(t), 1, 4)
	if n := g.metric(t, `queue_events_total{field="messages",result="duplicate"}`); n != 5 {
		t.Errorf("%v duplicates are counted, want 5", n)
	}
}

// TestQueueLeavesSpaceFree has less space than must stay free: deliveries are
// refused, and what waits is delivered.
func TestQueueLeavesSpaceFree(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.down(t)
	g := newQueueGateway(t)
	g.serve(t, quick+"reverse_proxy "+a.addr)
	g.send(t, talks(talk("c", 0), talk("c", 1)), 200)
	g.change(t, strings.Replace(quick, "min_free_space 0B", "min_free_space 1EiB", 1)+"reverse_proxy "+a.addr)
	refused := g.send(t, talks(talk("c", 2)), 503)
	if refused.header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	g.mustAwait(t, "refusing deliveries: they cannot be stored.*the queue is full: .* free, .*min_free_space is ")
	a.up(t)
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	g.change(t, quick+"reverse_proxy "+a.addr)
	g.send(t, talks(talk("c", 2)), 200)
	checkOnce(t, a.awaitDelivered(t, 3), 1, 3)
}

// TestQueueMetrics compares all metrics of the queue with what was done.
func TestQueueMetrics(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.behave(t, rule{Match: "<gone>", Status: 410}, rule{Match: "<held>", Hold: true}, rule{Match: "<slow>", Times: 2, Status: 503})
	g := newQueueGateway(t)
	g.serve(t, quick+patientQueue+"fields messages comments\nreverse_proxy "+a.addr)
	for _, name := range []string{"pending_events", "pending_bytes", "in_flight_events", "dead_events", "oldest_seconds", "refusing_since_timestamp_seconds"} {
		if !strings.Contains(g.adminGet(t, "/metrics"), "caddy_instagram_"+g.gauge(name)+" 0\n") {
			t.Errorf("%s is not 0 in an empty queue", name)
		}
	}
	for _, name := range []string{
		`queue_events_total{field="messages",result="dead"}`, `queue_events_total{field="mentions",result="skipped"}`,
		`queue_events_total{field="other",result="accepted"}`, `queue_failed_attempts_total{reason="timeout"}`,
		`queue_failed_attempts_total{reason="502"}`, `queue_delivery_seconds_count`, `queue_commit_seconds_count`, `queue_commit_operations_count`,
	} {
		if !strings.Contains(g.adminGet(t, "/metrics"), "caddy_instagram_"+name+" 0\n") {
			t.Errorf("%s is not there before there is anything to count", name)
		}
	}
	began := time.Now()
	g.send(t, talks(talk("gone", 0), talk("slow", 0), talk("held", 0), talk("held", 1)), 200)
	g.send(t, talks(talk("gone", 0), talk("slow", 0), talk("new", 0)), 200)
	g.send(t, comment("m", "c1"), 200)
	g.send(t, []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1,"changes":[{"field":"mentions","value":{"media_id":"1","comment_id":"2"}}]}]}`), 200)
	a.awaitHeld(t, 1)
	g.awaitMetric(t, g.gauge("pending_events"), 2)
	size := 0
	for n := range 2 {
		size += len(talks(talk("held", n)))
	}
	want := map[string]float64{
		g.gauge("pending_bytes"):                                  float64(size),
		g.gauge("in_flight_events"):                               1,
		g.gauge("dead_events"):                                    1,
		`queue_events_total{field="messages",result="accepted"}`:  5,
		`queue_events_total{field="messages",result="duplicate"}`: 2,
		`queue_events_total{field="messages",result="delivered"}`: 2,
		`queue_events_total{field="messages",result="dead"}`:      1,
		`queue_events_total{field="comments",result="accepted"}`:  1,
		`queue_events_total{field="comments",result="delivered"}`: 1,
		`queue_events_total{field="mentions",result="skipped"}`:   1,
		`queue_failed_attempts_total{reason="410"}`:               1,
		`queue_failed_attempts_total{reason="503"}`:               2,
		`queue_delivery_seconds_count`:                            3,
	}
	check := func() {
		t.Helper()
		for name, want := range want {
			g.awaitMetric(t, name, want) // an event is counted just after it is settled
		}
	}
	check()
	if age := g.metric(t, g.gauge("oldest_seconds")); age <= 0 || age > time.Since(began).Seconds() {
		t.Errorf("the oldest event is %fs old, after %s", age, time.Since(began))
	}
	for _, name := range []string{"queue_commit_seconds_count", "queue_commit_operations_sum", "queue_delivery_seconds_sum"} {
		if g.metric(t, name) <= 0 {
			t.Errorf("%s counts nothing", name)
		}
	}
	a.behave(t)
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	g.change(t, quick+"reverse_proxy "+a.addr) // counts go on
	want[g.gauge("pending_bytes")], want[g.gauge("in_flight_events")] = 0, 0
	want[g.gauge("oldest_seconds")] = 0
	want[`queue_events_total{field="messages",result="delivered"}`] = 4
	want[`queue_delivery_seconds_count`] = 5
	check()
}
