package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/caddy-instagram/webhooks/queue"
)

// TestQueueOnAFullDisk fills the disk while the application is down, and while
// events are delivered whose settlement finds no room. When there is room again
// everything comes once.
func TestQueueOnAFullDisk(t *testing.T) {
	needRoot(t)
	t.Parallel()
	v := newTmpfs(t, 3<<20)
	filler := filepath.Join(v.dir, ".filler")
	fill := func(bytes int) {
		t.Helper()
		if err := os.WriteFile(filler, make([]byte, bytes), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill(2 << 20)
	a := startApplication(t)
	a.down(t)
	g := newQueueGateway(t)
	g.file = filepath.Join(v.dir, "queue.db")
	g.serve(t, quick+"reverse_proxy "+a.addr)
	c := newCallerFor(http1, nil, g.addr, nil)
	t.Cleanup(c.close)

	// One conversation each, so that all could be delivered at the same time.
	const each, most = 4, 100_000
	accepted := 0
	send := func() *answer {
		t.Helper()
		var messages []string
		for n := range each {
			messages = append(messages, talk(strconv.Itoa(accepted), n))
		}
		answer := c.mustDo(t, delivery(t, http1, g.url, secret, talks(messages...)))
		if answer.status == http.StatusOK {
			accepted++
		}
		return answer
	}
	answer := send()
	for answer.status == http.StatusOK && accepted < most {
		answer = send()
	}
	for range 20 { // full, and asked again
		if answer.status != http.StatusServiceUnavailable && answer.status != http.StatusOK {
			t.Errorf("a full disk: got %d, want 503", answer.status)
		}
		if answer.status == http.StatusServiceUnavailable && answer.header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
		answer = send()
	}
	if pending := g.metric(t, g.gauge("pending_events")); pending != float64(each*accepted) {
		t.Errorf("%v events are pending, want %d", pending, each*accepted)
	}
	for answer.status == http.StatusOK && accepted < most {
		answer = send()
	}
	if g.metric(t, g.gauge("refusing_since_timestamp_seconds")) == 0 {
		t.Error("the metrics do not tell that deliveries are refused")
	}

	// What was accepted left room to settle it. If another program takes that, what
	// is delivered cannot be settled: it must not come again before it is, nor may
	// others of its conversation.
	if err := os.WriteFile(filler+"2", make([]byte, 3<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	a.up(t)
	a.awaitDelivered(t, 1)
	g.mustAwait(t, "the store of the queue does not work")
	if err := errors.Join(os.Remove(filler), os.Remove(filler+"2")); err != nil {
		t.Fatal(err)
	}
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	for range 20 {
		if answer := send(); answer.status != http.StatusOK {
			t.Errorf("there is room again: got %d, want 200", answer.status)
		}
	}
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	checkOnce(t, a.idle(t), accepted, each)
	if since := g.metric(t, g.gauge("refusing_since_timestamp_seconds")); since != 0 {
		t.Errorf("refusing since %f", since)
	}
	t.Logf("%d deliveries accepted", accepted)
	g.stop()
	if n := len(g.stored(t, queue.Filter{State: queue.Delivered})); n != each*accepted {
		t.Errorf("%d events are kept as delivered, want %d", n, each*accepted)
	}
}

// TestQueueOnAReadOnlyDisk starts a gateway that may not write where its queue is
// to be, and one whose queue is there already.
func TestQueueOnAReadOnlyDisk(t *testing.T) {
	needRoot(t)
	t.Parallel()
	v := newTmpfs(t, 3<<20)
	g := newQueueGateway(t)
	g.file = filepath.Join(v.dir, "queue.db")
	remount := func(how string) {
		t.Helper()
		command(t, "mount", "-o", "remount,"+how, v.dir)
	}
	remount("ro")
	g.mustNotStart(t, "respond 200", "making the queue "+g.file+": .*read-only file system")
	remount("rw")
	g.serve(t, quick+"respond 200")
	g.send(t, talks(talk("c", 0)), 200)
	g.stop()
	remount("ro")
	g.mustNotStart(t, "respond 200", "opening the queue "+g.file+": .*read-only file system")
}
