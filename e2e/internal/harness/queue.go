package harness

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

const (
	// QuickRetry are options of a queue with which tests need not wait long.
	QuickRetry = `retry {
		first 10ms
		max 50ms
	}
	min_free_space 0B
	`

	// LongTimeout is the option with which no attempt ends before the application
	// answers, however slow the machine is.
	LongTimeout = "timeout 10m\n"
)

// QueueSite is a site with a queue: its options and what takes the events.
func (c *Caddy) QueueSite(content string) string {
	return c.Site("%s\ninstagram_queue {\nstore sqlite %q\n%s\n}", Webhook, c.Queue, content)
}

// ServeQueue starts Caddy with a queue.
func (c *Caddy) ServeQueue(t testing.TB, content string) {
	t.Helper()
	c.Start(t, c.QueueSite(content))
}

// ReloadQueue loads another queue instead of the one before.
func (c *Caddy) ReloadQueue(t testing.TB, content string) {
	t.Helper()
	c.Reload(t, c.QueueSite(content))
}

// Deliver sends a delivery to the webhook, and fails the test if the answer has
// another status.
func (c *Caddy) Deliver(t testing.TB, body []byte, want int) *Answer {
	t.Helper()
	client := c.Client(t, HTTP1)
	defer client.Close()
	answer := client.Deliver(t, body)
	if answer.Status != want {
		t.Errorf("a delivery is answered with %d, want %d", answer.Status, want)
	}
	return answer
}

// WaitQueueEmpty returns when no event is pending.
func (c *Caddy) WaitQueueEmpty(t testing.TB) {
	t.Helper()
	c.WaitMetric(t, c.Gauge("pending_events"), 0)
}

// CheckPending fails the test if not so many events are pending.
func (c *Caddy) CheckPending(t testing.TB, want int, when string) {
	t.Helper()
	if n := c.Metric(t, c.Gauge("pending_events")); n != float64(want) {
		t.Errorf("%s: %v events are pending, want %d", when, n, want)
	}
}

// CheckFile fails the test unless the command check calls the file of a Caddy that was
// stopped or killed sound.
func (c *Caddy) CheckFile(t testing.TB) {
	t.Helper()
	if out, err := c.Run("instagram", "queue", "check", "--file", c.Queue); err != nil || !strings.Contains(out, "The file is sound.") {
		t.Errorf("checking the file: %v\n%s", err, out)
	}
}

// Stored returns the events in the queue of a Caddy that was stopped. It checks
// the file too.
func (c *Caddy) Stored(t testing.TB, filter queue.Filter) []queue.Event {
	t.Helper()
	store, err := sqlite.Open(c.Queue, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
	events, err := store.List(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return events
}
