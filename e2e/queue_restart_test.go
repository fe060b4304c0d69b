package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestQueueRestart ends Caddy with a backlog while attempts are under way,
// in all ways in which it can end. After the start everything is delivered, in
// order, and nothing that was delivered before comes again.
func TestQueueRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *harness.Caddy, *harness.App){
		"killed": func(t *testing.T, caddy *harness.Caddy, _ *harness.App) { caddy.Kill(t) },
		"stopped in time": func(_ *testing.T, caddy *harness.Caddy, _ *harness.App) {
			caddy.Stop() // the grace period cuts what is under way
		},
		"stopped, and the application answers meanwhile": func(t *testing.T, caddy *harness.Caddy, app *harness.App) {
			var stopping sync.WaitGroup
			stopping.Go(caddy.Stop)
			caddy.WaitOutput(t, `"shutting down"`)
			app.Behave()
			stopping.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := harness.StartApp(t)
			caddy := harness.NewCaddy(t)
			if name == "stopped in time" {
				caddy.Options += "\ngrace_period 500ms"
			} else {
				caddy.Options += "\ngrace_period 1m"
			}
			queueOptions := harness.QuickRetry + harness.LongTimeout + "concurrency 4\nreverse_proxy " + app.Addr
			caddy.ServeQueue(t, queueOptions)
			const conversations, each = 10, 6
			send := func(from, to int) {
				for n := from; n < to; n++ {
					caddy.Deliver(t, harness.MessageToEach(conversations, n), 200)
				}
			}
			send(0, each/2)
			caddy.WaitQueueEmpty(t)
			app.Behave(harness.Rule{Hold: true})
			send(each/2, each)
			app.WaitHeld(t, 4)
			end(t, caddy, app)
			before := len(app.WaitIdle(t))
			app.Behave()

			caddy.ServeQueue(t, queueOptions)
			send(0, each) // all duplicates
			app.WaitDelivered(t, conversations*each)
			caddy.WaitQueueEmpty(t)
			attempts := app.WaitIdle(t)
			harness.CheckOnce(t, attempts, conversations, each)
			for _, got := range attempts[before:] {
				if n := got.Header.Get("X-Instagram-Attempt"); n != "1" {
					t.Errorf("%s came as attempt %s: one that was cut short counts as failed", got.ID(), n)
				}
			}
			caddy.Stop()
			if n := len(caddy.Stored(t, queue.Filter{State: queue.Delivered})); n != conversations*each {
				t.Errorf("%d events are kept as delivered, want %d", n, conversations*each)
			}
		})
	}
}

// TestQueueStaysWithOneProcess starts a second Caddy on the file of a first one.
func TestQueueStaysWithOneProcess(t *testing.T) {
	t.Parallel()
	caddy, second := harness.NewCaddy(t), harness.NewCaddy(t)
	second.Queue = caddy.Queue
	caddy.ServeQueue(t, "respond 200")
	second.StartFails(t, second.QueueSite("respond 200"), "the queue "+caddy.Queue+" is in use by another process")
	caddy.Deliver(t, harness.Messages("c.0"), 200)
	caddy.Stop()
	second.ServeQueue(t, "respond 200")
}

// TestQueueThatCannotBeOpened has a directory that is a file, a file that is a
// directory, and a file that is no queue.
func TestQueueThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	plain := caddy.Write(t, "plain", "this is no queue, but a text that is long enough"+strings.Repeat(".", 64<<10))
	for path, want := range map[string]string{
		filepath.Join(plain, "sub", "queue.db"): "making the queue .*: not a directory|opening the queue .*: not a directory",
		caddy.In:                                "opening the queue .*: it is a directory",
		plain:                                   "the file .* is no queue, or is damaged",
	} {
		caddy.Queue = path
		caddy.StartFails(t, caddy.QueueSite("respond 200"), want)
	}
}

// TestQueueIsNotMadeByValidate runs the commands that only look at a config,
// while no queue is there, and while one is in use.
func TestQueueIsNotMadeByValidate(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.Queue = caddy.Out("sub/queue.db")
	config := caddy.Config(t, caddy.QueueSite("respond 200"))
	for range 2 {
		for _, args := range [][]string{{"validate"}, {"adapt", "--validate"}} {
			if out, err := caddy.Run(append(args, "--config", config)...); err != nil {
				t.Errorf("caddy %s: %v\n%s", args, err, out)
			}
		}
		if caddy.Process == nil {
			if _, err := os.Stat(filepath.Dir(caddy.Queue)); err == nil {
				t.Error("the directory of the queue was made")
			}
			caddy.ServeQueue(t, "respond 200")
		}
	}
	caddy.Deliver(t, harness.Messages("c.0"), 200)
}
