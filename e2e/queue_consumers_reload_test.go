package e2e

import (
	"fmt"
	"sync"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueConsumersComeAndGoUnderLoad reloads again and again, to and fro between two
// configs, while deliveries come in: one consumer is in both, and each has another one
// of its own. The one in both gets everything, and each of the others what was accepted
// while it was in the config: once, in order, even what it had left behind.
func TestQueueConsumersComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	both := harness.StartApp(t, harness.Rule{Match: "5 of <", Status: 500, Times: 3})
	own := []*harness.App{harness.StartApp(t), harness.StartApp(t)}
	block := func(name string, app *harness.App) string { return to(name, "reverse_proxy %s", app.Addr) }
	var configs []string
	for i, app := range own {
		configs = append(configs, harness.QuickRetry+block("both", both)+block(fmt.Sprint("own", i), app))
	}
	caddy.ServeQueue(t, configs[0])
	var senders []*queueSender
	for _, name := range []string{"a", "b", "c", "d"} {
		senders = append(senders, &queueSender{Client: caddy.Client(t, harness.HTTP1), conversation: name})
	}

	// sure holds the messages that were accepted while config i was the only one.
	sure := []map[string]bool{{}, {}}
	done := 0
	for i := range harness.Rounds(reloads(), fewReloads) {
		for _, s := range senders {
			sure[i%2][fmt.Sprintf("%s.%d", s.conversation, s.sent)] = true
			s.deliver(t)
		}
		stop := make(chan struct{})
		var running sync.WaitGroup
		for _, s := range senders {
			running.Go(func() {
				for range 20 {
					select {
					case <-stop:
						return
					default:
					}
					if !s.deliver(t) {
						return
					}
				}
			})
		}
		caddy.ReloadQueue(t, configs[(i+1)%2])
		close(stop)
		running.Wait()
		done++
	}
	caddy.ReloadQueue(t, configs[0]+block("own1", own[1]))
	total := 0
	for _, s := range senders {
		total += s.sent
	}
	for _, name := range []string{"both", "own0", "own1"} {
		caddy.WaitMetric(t, caddy.Gauge("pending_events", name), 0)
	}

	got := harness.CheckOrder(t, both.WaitIdle(t))
	for _, s := range senders {
		if got[s.conversation] != s.sent {
			t.Errorf("%d messages of %s came to the consumer in both configs, want %d", got[s.conversation], s.conversation, s.sent)
		}
	}
	for i, app := range own {
		last := make(map[string]int)
		taken := make(map[string]bool)
		for _, attempt := range app.WaitIdle(t) {
			if !attempt.Delivered() {
				continue
			}
			conversation, n := attempt.Message(t)
			if before, any := last[conversation]; any && n <= before {
				t.Errorf("consumer %d got message %d of %s after %d", i, n, conversation, before)
			}
			last[conversation] = n
			taken[attempt.MID(t)] = true
		}
		for mid := range sure[i] {
			if !taken[mid] {
				t.Errorf("consumer %d did not get %s", i, mid)
			}
		}
		t.Logf("consumer %d of one config got %d messages of %d", i, len(taken), total)
	}
	t.Logf("%d reloads", done)
}
