package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// written is what somebody writes to an account.
func written(account, mid, text string) string {
	return fmt.Sprintf(`{"id":"%s","time":1790000000000,"messaging":[{"sender":{"id":"5"},"recipient":{"id":"%[1]s"},`+
		`"timestamp":1790000000000,"message":{"mid":"%s","text":"%s"}}]}`, account, mid, text)
}

// deliveryOf is a delivery of several of these.
func deliveryOf(entries ...string) []byte {
	return []byte(`{"object":"instagram","entry":[` + strings.Join(entries, ",") + `]}`)
}

// TestQueueConsumersWithMatchers has an application that wants what one account gets, one
// that wants what people write about refunds, and one that wants all.
func TestQueueConsumersWithMatchers(t *testing.T) {
	t.Parallel()
	shop, support, all := harness.StartApp(t), harness.StartApp(t), harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	serve := func(refunds string) string {
		return "@shop instagram {\naccount 2\n}\n@refunds expression " + refunds + "\n" + harness.Webhook +
			fmt.Sprintf("\ninstagram_queue {\nstore sqlite %q\n%s", caddy.Queue, harness.QuickRetry) +
			to("shop @shop", "reverse_proxy %s", shop.Addr) +
			to("support @refunds", "fields messages\nreverse_proxy %s", support.Addr) +
			to("all", "reverse_proxy %s", all.Addr) + "}\n"
	}
	caddy.Serve(t, "%s", serve(`{http.request.body}.contains("refund")`))
	batch := deliveryOf(written("1", "a.0", "hello"), written("1", "a.1", "a refund, please"),
		written("2", "b.0", "hello"), written("2", "b.1", "no refund?"))
	for range 2 { // the second is a duplicate
		caddy.Deliver(t, batch, 200)
	}
	caddy.Deliver(t, harness.Change("comments", `{"id":"1","text":"refund"}`), 200)
	expect := func(app *harness.App, want ...string) {
		t.Helper()
		app.WaitDelivered(t, len(want))
		got := taken(app.WaitIdle(t))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("an application got %q, want %q", got, want)
		}
	}
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "all"), 0)
	expect(shop, "instagram/2/messages/b.0", "instagram/2/messages/b.1")
	expect(support, "instagram/1/messages/a.1", "instagram/2/messages/b.1")
	expect(all, "instagram/1/messages/a.0", "instagram/1/messages/a.1", "instagram/17841400000000001/comments/1",
		"instagram/2/messages/b.0", "instagram/2/messages/b.1")

	// A matcher that fails refuses the delivery, until it works.
	caddy.Reload(t, caddy.Site("%s", serve(`int({http.request.header.Ce-Subject}) == 1`)))
	late := deliveryOf(written("2", "c.0", "private"))
	if answer := caddy.Deliver(t, late, 503); answer.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	caddy.WaitOutput(t, `"level":"error".*the matcher of the consumer support failed`)
	if strings.Contains(caddy.Output(), "private") {
		t.Error("what people write is in the log")
	}
	caddy.Reload(t, caddy.Site("%s", serve(`{instagram.account} == "2"`)))
	caddy.Deliver(t, late, 200)
	expect(support, "instagram/1/messages/a.1", "instagram/2/messages/b.1", "instagram/2/messages/c.0")
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "all"), 0)
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "shop"), 0)
	caddy.Stop()
	for consumer, want := range map[string]int{"shop": 3, "support": 3, "all": 6} {
		if n := len(caddy.Stored(t, queue.Filter{Consumer: consumer})); n != want {
			t.Errorf("%d events are stored for %s, want %d", n, consumer, want)
		}
	}
}
