package e2e

import (
	"net/http"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestQueueOnAFullDisk fills the disk while the application is down, makes room,
// and fills it again, to the last byte, before anything is delivered: then no
// settlement finds room, wherever this runs. When there is room again everything
// comes once.
func TestQueueOnAFullDisk(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	disk := harness.NewTmpfs(t, 6<<20)
	disk.Fill(t, 1<<20)
	app := harness.StartApp(t)
	app.Down()
	caddy := harness.NewCaddy(t)
	caddy.Queue = filepath.Join(disk.Dir, "queue.db")
	serve := func() { t.Helper(); caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr) }
	serve()
	client := caddy.Client(t, harness.HTTP1)

	// One conversation each, so that all could be delivered at the same time.
	const each, most = 4, 100_000
	accepted := 0
	send := func() *harness.Answer {
		t.Helper()
		var mids []string
		for n := range each {
			mids = append(mids, mid(strconv.Itoa(accepted), n))
		}
		answer := client.Deliver(t, harness.Messages(mids...))
		if answer.Status == http.StatusOK {
			accepted++
		}
		return answer
	}
	sendWithRoom := func() {
		t.Helper()
		for range 20 {
			if answer := send(); answer.Status != http.StatusOK {
				t.Errorf("there is room again: got %d, want 200", answer.Status)
			}
		}
	}
	answer := send()
	for answer.Status == http.StatusOK && accepted < most {
		answer = send()
	}
	for range 20 { // full, and asked again
		if answer.Status != http.StatusServiceUnavailable && answer.Status != http.StatusOK {
			t.Errorf("a full disk: got %d, want 503", answer.Status)
		}
		if answer.Status == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
		answer = send()
	}
	caddy.CheckPending(t, each*accepted, "a full disk")
	for answer.Status == http.StatusOK && accepted < most {
		answer = send()
	}
	if caddy.Metric(t, caddy.Refusing()) == 0 {
		t.Error("the metrics do not tell that deliveries are refused")
	}
	disk.MakeRoom(t)
	sendWithRoom()
	if since := caddy.Metric(t, caddy.Refusing()); since != 0 {
		t.Errorf("refusing since %f", since)
	}

	// The next Caddy finds no room at all. What the store has set aside is enough to
	// start, and to deliver and settle all that waits.
	caddy.Stop()
	client.Close()
	disk.Fill(t, 0)
	app.Up(t)
	serve()
	caddy.WaitQueueEmpty(t)
	if answer := send(); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("a delivery to a full disk: %d", answer.Status)
	}
	disk.MakeRoom(t)
	sendWithRoom()
	caddy.WaitQueueEmpty(t)
	harness.CheckOnce(t, app.WaitIdle(t), accepted, each)
	t.Logf("%d deliveries accepted", accepted)
	caddy.Stop()
	if n := len(caddy.Stored(t, queue.Filter{State: queue.Delivered})); n != each*accepted {
		t.Errorf("%d events are kept as delivered, want %d", n, each*accepted)
	}
}

// TestQueueOnAReadOnlyDisk starts a Caddy that may not write where its queue is
// to be, and one whose queue is there already.
func TestQueueOnAReadOnlyDisk(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	disk := harness.NewTmpfs(t, 3<<20)
	caddy := harness.NewCaddy(t)
	caddy.Queue = filepath.Join(disk.Dir, "queue.db")
	site := caddy.QueueSite(harness.QuickRetry + "respond 200")
	disk.Remount(t, "ro")
	caddy.StartFails(t, site, "opening the queue "+caddy.Queue+": .*read-only file system")
	disk.Remount(t, "rw")
	caddy.Start(t, site)
	caddy.Deliver(t, harness.Messages("c.0"), 200)
	caddy.Stop()
	disk.Remount(t, "ro")
	caddy.StartFails(t, site, "opening the queue "+caddy.Queue+": .*read-only file system")
}
