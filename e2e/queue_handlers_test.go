package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestQueueKeepsTheURL sends deliveries to unusual URLs over TLS. The application
// behind the queue gets the same as one that gets the delivery at once.
func TestQueueKeepsTheURL(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	s := newSecured(t)
	s.serve(t, fmt.Sprintf(`%s
	@queued header X-Queued yes
	handle @queued {
		instagram_queue {
			store bolt %q
			min_free_space 0B
			reverse_proxy %s
		}
	}
	handle {
		reverse_proxy %[3]s
	}`, webhook, s.out("queue.db"), a.addr))
	c := newCallerFor(http1, s.roots, s.addr, nil)
	t.Cleanup(c.close)
	for i, uri := range []string{
		"/", "/?", "/webhooks/?a=b&a=c&&;", "//two//slashes", "/a/../b/./c", "/%2e%2e/%2Fx%20y%00", "/a;b=c:d@e!$&'()*+,",
		"/%C3%BC/ü", "/a?b?c=%zz%&d=/../#e", "/[x]|^`\"<>",
	} {
		var got [2]attempt
		for j, queued := range []string{"no", "yes"} {
			req := delivery(t, http1, "https://"+s.name, secret, talks(talk("c", i)))
			req.URL = &url.URL{Scheme: "https", Host: s.name, Opaque: uri}
			if strings.HasPrefix(uri, "//") {
				req.URL.Opaque = "https://" + s.name + uri // as a proxy gets it
			}
			req.Header.Set("X-Queued", queued)
			if answer := c.mustDo(t, req); answer.status != http.StatusOK {
				t.Fatalf("%s is answered with %d", uri, answer.status)
			}
			got[j] = a.await(t, 2*i+j+1)[2*i+j]
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
	a := startApplication(t)
	g := newQueueGateway(t)
	g.start(t, "metrics\nauto_https off", fmt.Sprintf(`&(balanced) {
	reverse_proxy 127.0.0.1:%d %s {
		lb_policy first
		lb_try_duration 30s
		fail_duration 30s
		header_up X-Kind {vars.kind}
		header_up X-Mapped {mapped}
	}
}
%s`, freePort(t), a.addr, g.site(quick+`vars kind {instagram.field}
	map {instagram.conversation} {mapped} {
		~/c1$ first
		default other
	}
	@path expression `+"`path('/webhooks') && instagram({'field': 'messages'}) && method('POST')`"+`
	handle @path {
		rewrite * /new{path}?event={instagram.id}
		invoke balanced
	}`)))
	g.send(t, talks(talk("c1", 0), talk("c2", 0)), 200)
	for _, got := range a.awaitDelivered(t, 2) {
		conversation, _ := talkOf(t, got.Body)
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
	g.send(t, comment("m", "c1"), 200)
	g.awaitMetricThat(t, `queue_failed_attempts_total{reason="untaken"}`, func(n float64) bool { return n > 2 })
	if n := g.metric(t, g.gauge("pending_events")); n != 1 {
		t.Errorf("%v events are pending, want 1", n)
	}
}

// TestQueueStartsSlowly delivers a backlog to an application that does not
// answer: attempts begin one after the other, until there are as many at the same
// time as there may be, and never more.
func TestQueueStartsSlowly(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.down(t)
	g := newQueueGateway(t)
	g.serve(t, quick+"reverse_proxy "+a.addr)
	const events, concurrency = 60, 5
	var messages []string
	for n := range events {
		messages = append(messages, talk(fmt.Sprintf("c%d", n), 0))
	}
	g.send(t, talks(messages...), 200)
	g.stop()
	a.up(t)
	a.behave(t, rule{Hold: true})
	g.serve(t, quick+patientQueue+fmt.Sprintf("concurrency %d\nreverse_proxy %s", concurrency, a.addr))
	a.awaitHeld(t, concurrency)
	a.behave(t)
	attempts := a.awaitDelivered(t, events)
	most := 0
	for _, one := range attempts {
		others := 0
		for _, other := range attempts {
			if other.Begin <= one.Begin && one.Begin < other.End {
				others++
			}
		}
		most = max(most, others)
	}
	if most != concurrency {
		t.Errorf("%d attempts were made at the same time, want %d", most, concurrency)
	}
	checkOnce(t, attempts, events, 1)
}
