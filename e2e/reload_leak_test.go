package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestReloadsLeaveNothingBehind reloads a gateway with all that runs beside its requests:
// accounts that are looked after, receivers of alerts by URL and by handlers, a queue, files
// and a signed request callback. Goroutines and open files must not become more.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	_, meta := startGraph(t)
	var told atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		told.Add(1)
	}))
	defer receiver.Close()
	app := harness.StartApp(t, harness.Rule{Match: "given.up", Status: 410})
	c := harness.NewCaddy(t, "ACCOUNT_TOKEN="+watchedToken)
	config := func(n int) string {
		// Each config differs from the one before, so that nothing is taken over as it is.
		c.Options = fmt.Sprintf(`metrics
	auto_https off
	instagram {
		account %s {
			token {env.ACCOUNT_TOKEN}
			fields comments messages
			reconcile report
			graph_url %s
			silence %dh
		}
		alert %s
		alert {
			only dead_letter
			reverse_proxy %s
		}
	}`, watchedAccount, meta, 24+n%7, receiver.URL, strings.TrimPrefix(receiver.URL, "http://"))
		return signedSite(c, fmt.Sprintf("instagram_file {$HOME}/events.jsonl\ninstagram_queue {\nstore sqlite %q\n%s reverse_proxy %s\n}", c.Queue, harness.QuickRetry, app.Addr))
	}
	c.Start(t, config(0))
	reload := func(n int) { c.Load(t, config(n)) }
	number := func(metric string) int {
		n, found := c.LookupAnyMetric(t, metric)
		if !found {
			t.Fatalf("there is no metric %s", metric)
		}
		return int(n)
	}
	deliver := func(mid string) { c.Deliver(t, harness.Messages(mid), http.StatusOK) }

	deliver("given.up")
	harness.Wait(t, "the alert about a dead letter, twice", func() bool { return told.Load() >= 2 })
	for n := range 5 { // so that all is there that stays
		reload(n + 1)
		deliver(fmt.Sprintf("c.%d", n))
	}
	app.WaitDelivered(t, 5)
	goroutines, files := number("go_goroutines"), number("process_open_fds")
	for n := range 50 {
		reload(n + 6)
		if n%5 == 0 {
			deliver(fmt.Sprintf("c.%d", 5+n/5))
		}
	}
	app.WaitDelivered(t, 15)
	const slack = 15 // connections that are kept for a while; 50 reloads that leak leave more
	defer func() {
		if t.Failed() {
			t.Log(c.AdminGet(t, "/debug/pprof/goroutine?debug=1"))
		}
	}()
	harness.Wait(t, "goroutines and files to be as many as before", func() bool {
		g, f := number("go_goroutines"), number("process_open_fds")
		return g <= goroutines+slack && f <= files+slack
	})
}
