package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/queue"
)

// TestQueueRestart ends the gateway with a backlog while attempts are under way,
// in all ways in which it can end. After the start everything is delivered, in
// order, and nothing that was delivered before comes again.
func TestQueueRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *queueGateway, *application){
		"killed": func(t *testing.T, g *queueGateway, _ *application) {
			if err := g.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-g.exited
		},
		"stopped in time": func(_ *testing.T, g *queueGateway, _ *application) {
			g.stop() // the grace period cuts what is under way
		},
		"stopped, and the application answers meanwhile": func(t *testing.T, g *queueGateway, a *application) {
			ended := make(chan struct{})
			go func() {
				g.stop()
				close(ended)
			}()
			g.mustAwait(t, `"shutting down"`)
			a.behave(t)
			<-ended
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t)
			g := newQueueGateway(t)
			options, site := "metrics\nauto_https off", g.site(quick+patientQueue+"concurrency 4\nreverse_proxy "+a.addr)
			if name == "stopped in time" {
				options += "\ngrace_period 500ms"
			} else {
				options += "\ngrace_period 1m"
			}
			g.start(t, options, site)
			const conversations, each = 10, 6
			send := func(from, to int) {
				for n := from; n < to; n++ {
					var messages []string
					for c := range conversations {
						messages = append(messages, talk(fmt.Sprintf("c%d", c), n))
					}
					g.send(t, talks(messages...), 200)
				}
			}
			send(0, each/2)
			g.awaitMetric(t, g.gauge("pending_events"), 0)
			a.behave(t, rule{Hold: true})
			send(each/2, each)
			a.awaitHeld(t, 4)
			end(t, g, a)
			before := len(a.idle(t))
			a.behave(t)

			g.start(t, options, site)
			send(0, each) // all duplicates
			a.awaitDelivered(t, conversations*each)
			g.awaitMetric(t, g.gauge("pending_events"), 0)
			attempts := a.idle(t)
			checkOnce(t, attempts, conversations, each)
			for _, got := range attempts[before:] {
				if n := got.Header.Get("X-Instagram-Attempt"); n != "1" {
					t.Errorf("%s came as attempt %s: one that was cut short counts as failed", got.id(), n)
				}
			}
			g.stop()
			if n := len(g.stored(t, queue.Filter{State: queue.Delivered})); n != conversations*each {
				t.Errorf("%d events are kept as delivered, want %d", n, conversations*each)
			}
		})
	}
}

// TestQueueStaysWithOneProcess starts a second Caddy on the file of a first one.
func TestQueueStaysWithOneProcess(t *testing.T) {
	t.Parallel()
	g, second := newQueueGateway(t), newQueueGateway(t)
	second.file = g.file
	g.serve(t, "respond 200")
	second.mustNotStart(t, "respond 200", "the queue "+g.file+" is in use by another process")
	g.send(t, talks(talk("c", 0)), 200)
	g.stop()
	second.serve(t, "respond 200")
}

// TestQueueThatCannotBeOpened has a directory that is a file, a file that is a
// directory, and a file that is no queue.
func TestQueueThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	g := newQueueGateway(t)
	plain := g.write(t, "plain", "this is no queue, but a text that is long enough"+strings.Repeat(".", 64<<10))
	for path, want := range map[string]string{
		filepath.Join(plain, "sub", "queue.db"): "making the queue .*: not a directory|opening the queue .*: not a directory",
		g.in:                                    "opening the queue .*: it is a directory",
		plain:                                   "the file .* is no queue, or is damaged",
	} {
		g.file = path
		g.mustNotStart(t, "respond 200", want)
	}
}

// mustNotStart starts the gateway, which must fail with an error.
func (g *queueGateway) mustNotStart(t *testing.T, queue, want string) {
	t.Helper()
	cmd := exec.Command(caddyBinary, "run", "--config", g.write(t, "Caddyfile", g.caddyfile("auto_https off", g.site(queue))))
	cmd.Env = g.env
	p := runProcess(t, "gateway", cmd)
	p.mustAwait(t, want)
	<-p.exited
	if p.cmd.ProcessState.Success() {
		t.Error("it ended as if all were well")
	}
}

// TestQueueIsNotMadeByValidate runs the commands that only look at a config,
// while no queue is there, and while one is in use.
func TestQueueIsNotMadeByValidate(t *testing.T) {
	t.Parallel()
	g := newQueueGateway(t)
	g.file = g.out("sub/queue.db")
	config := g.write(t, "Caddyfile", g.caddyfile("auto_https off", g.site("respond 200")))
	for range 2 {
		for _, args := range [][]string{{"validate"}, {"adapt", "--validate"}} {
			cmd := exec.Command(caddyBinary, append(args, "--config", config)...)
			cmd.Env = g.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("caddy %s: %v\n%s", args, err, out)
			}
		}
		if g.process == nil {
			if _, err := os.Stat(filepath.Dir(g.file)); err == nil {
				t.Errorf("these were made: %q", entriesBelow(t, g.dir))
			}
			g.serve(t, "respond 200")
		}
	}
	g.send(t, talks(talk("c", 0)), 200)
}
