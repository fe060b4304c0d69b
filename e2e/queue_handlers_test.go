package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueKeepsTheURL sends deliveries to unusual URLs over TLS. The application
// behind the queue gets the same as one that gets the delivery at once.
func TestQueueKeepsTheURL(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewSecured(t)
	caddy.Serve(t, `%s
	@queued header X-Queued yes
	handle @queued {
		instagram_queue {
			store sqlite %q
			min_free_space 0B
			reverse_proxy %s
		}
	}
	handle {
		reverse_proxy %[3]s
	}`, harness.Webhook, caddy.Queue, app.Addr)
	client := caddy.Client(t, harness.HTTP1)
	for i, uri := range []string{
		"/", "/?", "/webhooks/?a=b&a=c&&;", "//two//slashes", "/a/../b/./c", "/%2e%2e/%2Fx%20y%00", "/a;b=c:d@e!$&'()*+,",
		"/%C3%BC/ü", "/a?b?c=%zz%&d=/../#e", "/[x]|^`\"<>",
	} {
		var got [2]harness.Attempt
		for j, queued := range []string{"no", "yes"} {
			body := harness.Messages(fmt.Sprintf("c.%d", i))
			req := harness.NewDelivery(t, harness.HTTP1, caddy.URL, harness.Secret, body)
			req.URL = &url.URL{Scheme: "https", Host: caddy.Name, Opaque: uri}
			if strings.HasPrefix(uri, "//") {
				req.URL.Opaque = "https://" + caddy.Name + uri // as a proxy gets it
			}
			req.Header.Set("X-Queued", queued)
			if answer := client.Do(t, req); answer.Status != http.StatusOK {
				t.Fatalf("%s is answered with %d", uri, answer.Status)
			}
			got[j] = app.WaitAttempts(t, 2*i+j+1)[2*i+j]
		}
		if got[1].URI != got[0].URI || got[1].Host != got[0].Host {
			t.Errorf("%s: %s %s came through the queue, %s %s without it", uri, got[1].Host, got[1].URI, got[0].Host, got[0].URI)
		}
		for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host"} {
			if !slices.Equal(got[1].Header[name], got[0].Header[name]) {
				t.Errorf("%s: %s is %q through the queue, %q without it", uri, name, got[1].Header[name], got[0].Header[name])
			}
		}
	}
}

// TestQueueHandsEventsToAnyHandler has handlers behind the queue that need more
// of Caddy than others: a named route, load balancing over backends of which one
// is down, variables, expressions, and rewrites.
func TestQueueHandsEventsToAnyHandler(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Start(t, fmt.Sprintf(`&(balanced) {
	reverse_proxy %s %s {
		lb_policy first
		lb_try_duration 30s
		fail_duration 30s
		header_up X-Kind {vars.kind}
		header_up X-Mapped {mapped}
	}
}
%s`, harness.FreeAddr(t), app.Addr, caddy.QueueSite(harness.QuickRetry+`vars kind {instagram.field}
	map {instagram.conversation} {mapped} {
		~/c1$ first
		default other
	}
	@path expression `+"`path('/webhooks') && instagram({'field': 'messages'}) && method('POST')`"+`
	handle @path {
		rewrite * /new{path}?event={instagram.id}
		invoke balanced
	}`)))
	caddy.Deliver(t, harness.Messages("c1.0", "c2.0"), 200)
	for _, got := range app.WaitDelivered(t, 2) {
		conversation, _ := got.Message(t)
		want := map[string]string{
			"X-Kind":              "messages",
			"X-Mapped":            map[string]string{"c1": "first", "c2": "other"}[conversation],
			"X-Instagram-Attempt": "1",
		}
		for name, want := range want {
			if value := got.Header.Get(name); value != want {
				t.Errorf("%s is %q, want %q", name, value, want)
			}
		}
		if want := "/new/webhooks?event=instagram%2F17841400000000001%2Fmessages%2F" + conversation + ".0"; got.URI != want {
			t.Errorf("came to %s, want %s", got.URI, want)
		}
	}
	// A field that no handler is there for fails.
	caddy.Deliver(t, harness.Comment("c1"), 200)
	caddy.WaitMetricThat(t, `queue_failed_attempts_total{consumer="default",reason="untaken"}`, func(n float64) bool { return n > 2 })
	caddy.CheckPending(t, 1, "nothing took one event")
}

// TestQueueStartsSlowly delivers a backlog to an application that does not
// answer: attempts begin one after the other, until there are as many at the same
// time as there may be, and never more.
func TestQueueStartsSlowly(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	app.Down()
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	const events, concurrency = 60, 5
	caddy.Deliver(t, harness.MessageToEach(events, 0), 200)
	caddy.Stop()
	app.Up(t)
	app.Behave(harness.Rule{Hold: true})
	caddy.ServeQueue(t, harness.QuickRetry+harness.LongTimeout+
		fmt.Sprintf("concurrency %d\nreverse_proxy %s", concurrency, app.Addr))
	app.WaitHeld(t, concurrency)
	app.Behave()
	attempts := app.WaitDelivered(t, events)
	most := 0
	for _, one := range attempts {
		others := 0
		for _, other := range attempts {
			if !other.Begin.After(one.Begin) && one.Begin.Before(other.End) {
				others++
			}
		}
		most = max(most, others)
	}
	if most != concurrency {
		t.Errorf("%d attempts were made at the same time, want %d", most, concurrency)
	}
	harness.CheckOnce(t, attempts, events, 1)
}
