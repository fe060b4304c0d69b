package e2e

import (
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue/postgres"
)

// TestQueueOfTwoGateways has two gateways share a queue. One accepts and is killed in the
// middle of its attempts: the other delivers what was accepted, each conversation in order,
// and nothing that anybody logs has the DSN.
func TestQueueOfTwoGateways(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	app := harness.StartApp(t, harness.Rule{Hold: true})
	site := func(c *harness.Caddy) string {
		content := strings.ReplaceAll(harness.QuickRetry, "min_free_space 0B", "")
		return c.Site("%s\ninstagram_queue {\nstore postgres {\ndsn {env.IG_TEST_DSN}\ndurable local\n}\n%s\nreverse_proxy %s\n}",
			harness.Webhook, content, app.Addr)
	}
	dsn := server.DSN + " application_name=sesame"
	first, second := harness.NewCaddy(t, "IG_TEST_DSN="+dsn), harness.NewCaddy(t, "IG_TEST_DSN="+dsn)
	if second.Queue, err = postgres.Name(dsn, "instagram"); err != nil {
		t.Fatal(err)
	}
	first.Start(t, site(first))
	const conversations, each = 3, 5
	for n := range each {
		first.Deliver(t, harness.MessageToEach(conversations, n), 200)
	}
	app.WaitHeld(t, conversations)
	second.Start(t, site(second))
	second.Deliver(t, harness.MessageToEach(conversations, 0), 200) // duplicates
	first.Kill(t)
	app.Behave()
	second.WaitQueueEmpty(t)
	times := make(map[string]int)
	for _, id := range taken(app.WaitIdle(t)) {
		times[id]++
	}
	if len(times) != conversations*each {
		t.Errorf("%d events were taken, want %d: %v", len(times), conversations*each, times)
	}
	total := 0
	for _, n := range times {
		total += n
	}
	if total > conversations*each+conversations {
		t.Errorf("more events came twice than were under way: %v", times)
	}
	out, err := second.Run("instagram", "queue", "status", "--address", second.Admin)
	if err != nil || !strings.Contains(out, "postgres:instagram@") {
		t.Errorf("the status: %v\n%s", err, out)
	}
	for _, said := range []string{out, first.Output(), second.Output(), second.Metrics(t)} {
		if strings.Contains(said, "sesame") || strings.Contains(said, server.Dir) {
			t.Errorf("the DSN is in\n%s", said)
		}
	}
}
