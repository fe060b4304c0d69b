package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
)

// TestOneGatewayAlertsOfWaitingEvents has three gateways share a queue whose application fails.
// One of them tells that an event waits for too long, and another one does once it was killed.
func TestOneGatewayAlertsOfWaitingEvents(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	var mu sync.Mutex
	var told []string // which gateway, and what of
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alert struct{ Kind, Cause string }
		if err := json.NewDecoder(r.Body).Decode(&alert); err != nil {
			t.Error(err)
		}
		cause, _, _ := strings.Cut(alert.Cause, " of ")
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s: %s, %s", r.URL.Path, alert.Kind, cause))
	}))
	t.Cleanup(receiver.Close)
	all := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
	count := func(text string) int {
		return len(slices.DeleteFunc(all(), func(s string) bool { return !strings.Contains(s, text) }))
	}
	app := harness.StartApp(t, harness.Rule{Status: http.StatusInternalServerError})
	var gateways []*harness.Caddy
	site := func(c *harness.Caddy) string {
		return c.Site("%s\ninstagram_queue {\nstore postgres {\ndsn {env.IG_TEST_DSN}\ndurable local\n}\n%s%s}", harness.Webhook,
			to("crm", "reverse_proxy %s", app.Addr), to("bot", "reverse_proxy %s", app.Addr))
	}
	for i := range 3 {
		c := harness.NewCaddy(t, "IG_TEST_DSN="+server.DSN)
		c.Options += fmt.Sprintf("\ninstagram {\nalert %s/%d {\nonly oldest\n}\n}", receiver.URL, i)
		gateways = append(gateways, c)
	}
	followed := func(c *harness.Caddy) float64 { return c.Metric(t, `alerts_total{kind="oldest",result="followed"}`) }
	// age has the event of a consumer wait for longer than it does.
	age := func(consumer string) {
		t.Helper()
		if err := server.Execute(`UPDATE instagram.work SET accepted = accepted - 660000000
			WHERE consumer = (SELECT id FROM instagram.consumer WHERE name = $1)`, consumer); err != nil {
			t.Fatal(err)
		}
	}

	first, second, third := gateways[0], gateways[1], gateways[2]
	first.Start(t, site(first))
	first.Deliver(t, harness.Messages("m.0"), http.StatusOK)
	first.Stop()
	age("crm")
	for _, c := range gateways { // each looks soon after its start, and then each minute
		c.Start(t, site(c))
	}
	harness.Wait(t, "an alert", func() bool { return count("") > 0 })
	for _, c := range gateways[1:] {
		harness.Wait(t, "the others have seen what the alert is about", func() bool { return followed(c) > 0 })
	}
	if got, want := all(), []string{"/0: oldest, consumer crm"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}

	first.Kill(t)
	age("bot")
	harness.Wait(t, "an alert of another gateway", func() bool { return count("bot") > 0 })
	before := followed(third)
	third.Reload(t, site(third))
	harness.Wait(t, "the third one has seen both", func() bool { return followed(third) >= before+2 })
	for _, c := range []struct {
		text string
		max  int
	}{
		{"crm", 2}, // again from the second one, which cannot know whether the first one was in time
		{"/0: oldest, consumer bot", 0}, {"/1: oldest, consumer bot", 1}, {"/2", 0},
	} {
		if n := count(c.text); n > c.max {
			t.Errorf("%d alerts are %q, want %d at most: %q", n, c.text, c.max, all())
		}
	}
	if sent := second.Metric(t, `alerts_total{kind="oldest",result="sent"}`); sent == 0 {
		t.Error("the second gateway has told of nothing")
	}
}
