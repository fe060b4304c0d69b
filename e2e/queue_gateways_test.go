package e2e

import (
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue/postgres"
)

// TestQueueOfGatewaysWithOtherConfigs reloads one of two gateways with a new consumer, and
// then the other: the consumer misses nothing that either accepts meanwhile, what is
// different is shown, and nobody can drop a consumer that another gateway still has.
func TestQueueOfGatewaysWithOtherConfigs(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	name, err := postgres.Name(server.DSN, "instagram")
	if err != nil {
		t.Fatal(err)
	}
	crm, bot := harness.StartApp(t), harness.StartApp(t)
	site := func(c *harness.Caddy, consumers string) string {
		return c.Site("%s\ninstagram_queue {\nstore postgres {\ndsn {env.IG_TEST_DSN}\ndurable local\n}\n%s\n}", harness.Webhook, consumers)
	}
	toCRM := "to crm {\nfields comments\nreverse_proxy " + crm.Addr + "\n}\n"
	toBot := "to bot {\nfrom kept\nreverse_proxy " + bot.Addr + "\n}\n"
	first, second := harness.NewCaddy(t, "IG_TEST_DSN="+server.DSN), harness.NewCaddy(t, "IG_TEST_DSN="+server.DSN)
	for _, c := range []*harness.Caddy{first, second} {
		c.Queue = name
		c.Start(t, site(c, toCRM))
	}
	status := func(c *harness.Caddy) string {
		t.Helper()
		out, err := c.Run("instagram", "queue", "status", "--address", c.Admin)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	drop := func(c *harness.Caddy, consumer string) string {
		out, err := c.Run("instagram", "queue", "drop", consumer, "--address", c.Admin)
		if err == nil {
			return "dropped"
		}
		return out
	}
	if out := status(first); strings.Count(out, "(this one)") != 1 || strings.Contains(out, "differently") {
		t.Errorf("the status of equal gateways is\n%s", out)
	}

	first.Deliver(t, harness.Messages("c.0"), 200) // nobody wants it
	second.Reload(t, site(second, toCRM+toBot))
	first.Deliver(t, harness.Messages("c.1"), 200) // only the gateway with the old config has got it
	second.Deliver(t, harness.Messages("c.2"), 200)
	bot.WaitDelivered(t, 2)
	second.WaitMetric(t, second.Gauge("pending_events", "bot"), 0) // what is being settled keeps it as well
	if out := status(first); !strings.Contains(out, "the consumer bot is on ") || strings.Contains(out, "not in the config") {
		t.Errorf("the status of gateways with different configs is\n%s", out)
	}
	if out := drop(first, "bot"); !strings.Contains(out, "in the config of another gateway") {
		t.Errorf("dropping what another gateway has: %s", out)
	}

	second.Reload(t, site(second, toCRM))
	if out := drop(second, "bot"); out != "dropped" {
		t.Errorf("dropping what nobody has any more: %s", out)
	}
	first.Deliver(t, harness.Messages("c.3"), 200)
	harness.Wait(t, "the status of equal gateways, whose numbers may be some seconds old", func() bool {
		out := status(first)
		return !strings.Contains(out, "bot") && !strings.Contains(out, "differently")
	})
}
