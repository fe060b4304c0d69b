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

// TestQueueOnAFullDisk fills the disk while the application is down, makes room,
// and fills it again, to the last byte, before anything is delivered: then no
// settlement finds room, wherever this runs. When there is room again everything
// comes once.
func TestQueueOnAFullDisk(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const size = 6 << 20
	v := newTmpfs(t, size)
	filler := filepath.Join(v.dir, ".filler")
	if err := os.WriteFile(filler, make([]byte, size-1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	room := func() {
		t.Helper()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
	a := startApplication(t)
	a.down(t)
	g := newQueueGateway(t)
	g.file = filepath.Join(v.dir, "queue.db")
	serve := func() { t.Helper(); g.serve(t, quick+"reverse_proxy "+a.addr) }
	serve()
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
	sendWithRoom := func() {
		t.Helper()
		for range 20 {
			if answer := send(); answer.status != http.StatusOK {
				t.Errorf("there is room again: got %d, want 200", answer.status)
			}
		}
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
	room()
	sendWithRoom()
	if since := g.metric(t, g.gauge("refusing_since_timestamp_seconds")); since != 0 {
		t.Errorf("refusing since %f", since)
	}

	// A gateway that stops leaves a file that is complete, and the next one begins
	// a journal, for which there is no room. What is delivered then cannot be
	// settled: it must not come again before it is, nor may others of its
	// conversation.
	g.stop()
	c.close()
	if err := os.WriteFile(filler, make([]byte, size), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	a.up(t)
	serve()
	a.awaitDelivered(t, 1)
	g.mustAwait(t, `the store of the queue does not work","while":"settling".*no space left`)
	if pending := g.metric(t, g.gauge("pending_events")); pending != float64(each*accepted) {
		t.Errorf("%v events are pending, want %d", pending, each*accepted)
	}
	room()
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	sendWithRoom()
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	checkOnce(t, a.idle(t), accepted, each)
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
