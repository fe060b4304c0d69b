package browser

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

// How many events there are, and of which lists take how long at most.
const (
	million  = 1_000_000
	firstRow = time.Second
	list     = 100 * time.Millisecond
)

// TestMillionEvents opens the lists of a queue that holds very many events. What takes too long
// because the machine is busy is tried again; what always does fails.
func TestMillionEvents(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	begin := time.Now()
	fill(t, caddy.Queue)
	t.Logf("filled in %s", time.Since(begin))
	caddy.Serve(t, "%s", siteOf(caddy, app, all))
	b := open(t, pageOf(caddy), "")
	b.waitText(".figures", "999,990")
	for fragment, rows := range map[string]int{
		"events":                                      50,
		"events?state=pending&field=comments":         50,
		"events?state=dead":                           10, // the oldest
		"events?id=123456&consumer=app":               1,
		"events?conversation=17841400000000001%2F7":   50,
		"events?before=500000":                        50,
		"dead":                                        1,
		"events?since=1s&state=delivered&account=123": 0,
	} {
		var took, slowest time.Duration
		for deadline := time.Now().Add(timeout); ; {
			took, slowest = measure(b, fragment, rows)
			if took <= firstRow && slowest <= list || time.Now().After(deadline) {
				break
			}
		}
		t.Logf("%-45s first rows after %4d ms, the slowest answer took %3d ms", fragment, took.Milliseconds(), slowest.Milliseconds())
		if took > firstRow || slowest > list {
			t.Errorf("%s: first rows after %s, the slowest answer took %s; want %s and %s", fragment, took, slowest, firstRow, list)
		}
	}

	t.Logf("measured until %s", time.Since(begin))
	// What is rare is looked for by itself, answer by answer.
	b.run("location.hash = 'events?test=1'")
	b.do(chromedp.Reload())
	b.wait("performance.getEntriesByType('resource').filter((e) => e.name.includes('api/events')).length > 2")
	b.waitText(".result", "Searching")
}

// measure opens a screen, and returns when its first rows were there, and how long the slowest
// answer took.
func measure(b *tab, fragment string, rows int) (took, slowest time.Duration) {
	b.Helper()
	b.run(fmt.Sprintf("location.hash = %q", fragment))
	b.do(chromedp.Reload())
	shown := fmt.Sprintf("document.querySelectorAll('main tbody tr').length >= %d", rows)
	if rows == 0 {
		shown = "document.querySelector('.empty')"
	}
	b.wait(shown)
	times := eval[[]float64](b, `(() => {
		const answers = performance.getEntriesByType("resource").filter((e) => /api\/(events|dead)/.test(e.name));
		return [Math.min(...answers.map((e) => e.responseEnd)), Math.max(...answers.map((e) => e.responseEnd - e.requestStart))];
	})()`)
	of := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	return of(times[0]), of(times[1])
}

// fill stores the events as Caddy does, but many at a time, for a consumer that is paused. The
// oldest are dead letters.
func fill(t *testing.T, path string) {
	t.Helper()
	store, err := sqlite.Open(path, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	const consumer, dead, batch = "app", 10, 5000
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	check(store.Join(t.Context(), []queue.Consumer{{Name: consumer, Order: queue.ByConversation}}))
	accept := func(first, n int) {
		records := make([]queue.Record, n)
		for i := range records {
			records[i] = recordOf(first + i)
		}
		_, err := store.Accept(t.Context(), records, queue.Admission{Consumers: []string{consumer}})
		check(err)
	}
	accept(0, dead)
	events, _, err := store.Lease(t.Context(), consumer, dead)
	check(err)
	for _, e := range events {
		check(store.Settle(t.Context(), e, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Ended: time.Now(), Error: answer422}}))
	}
	check(store.Pause(t.Context(), consumer, true))
	var group sync.WaitGroup
	firsts := slices.Collect(steps(dead, million, batch))
	for part := range slices.Chunk(firsts, (len(firsts)+1)/2) {
		group.Go(func() {
			for _, first := range part {
				accept(first, min(batch, million-first))
			}
		})
	}
	group.Wait()
	check(store.Close())
	if len(events) != dead || t.Failed() {
		t.Fatalf("%d events were leased", len(events))
	}
}

// steps are the numbers from one to another.
func steps(from, to, by int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for n := from; n < to && yield(n); n += by {
		}
	}
}

// recordOf is the nth event.
func recordOf(n int) queue.Record {
	const id = "17841400000000001"
	field := []string{"messages", "comments", "messaging_seen"}[n%3]
	return queue.Record{
		Identity: fmt.Sprintf("instagram/%s/%s/%d", id, field, n), Account: id, Field: field, Conversation: fmt.Sprintf("%s/%d", id, n%1000),
		URL: "http://localhost/webhooks", Secret: "instagram",
		Body: fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":%q,"time":1790000000,"changes":[{"field":%q,"value":{"id":"%d"}}]}]}`, id, field, n),
	}
}
