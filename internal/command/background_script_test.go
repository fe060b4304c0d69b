package command_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/live"
)

// background is `caddy instagram …` that runs until Ctrl+C.
type background struct {
	cmd        *exec.Cmd
	out, notes output
}

// output is what a command printed so far.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown sync.Cond
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.grown.Broadcast()
	return o.text.Write(text)
}

// wait returns the text once it has so many lines.
func (o *output) wait(ts *testscript.TestScript, lines int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	late := false
	defer time.AfterFunc(90*time.Second, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.grown.Broadcast()
	}).Stop()
	for bytes.Count(o.text.Bytes(), []byte("\n")) < lines {
		if late {
			ts.Fatalf("there are not %d lines in\n%s", lines, &o.text)
		}
		o.grown.Wait()
	}
	return o.text.String()
}

// start starts a command in the directory of the script, and waits for its first note.
func start(ts *testscript.TestScript, args ...string) *background {
	b := &background{cmd: exec.Command("caddy", append([]string{"instagram"}, args...)...)}
	b.out.grown.L, b.notes.grown.L = &b.out.mu, &b.notes.mu
	b.cmd.Dir = ts.MkAbs(".")
	b.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.notes
	ts.Check(b.cmd.Start())
	ts.Defer(func() { _ = b.cmd.Process.Kill() }) // unless it has ended
	b.notes.wait(ts, 1)
	return b
}

// stop ends it as Ctrl+C does, and writes what it printed to the files out and notes.
func (b *background) stop(ts *testscript.TestScript) {
	ts.Check(b.cmd.Process.Signal(os.Interrupt))
	if err := b.cmd.Wait(); err != nil {
		ts.Fatalf("%v\n%s", err, &b.notes.text)
	}
	for name, o := range map[string]*output{"out": &b.out, "notes": &b.notes} {
		if bytes.Contains(o.text.Bytes(), []byte(marker)) {
			ts.Fatalf("a secret is in it:\n%s", &o.text)
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), o.text.Bytes(), 0o600))
	}
}

// receive <arguments…> starts `caddy instagram listen` on a free port, and sets LISTEN.
func receive(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: receive <arguments...>")
	}
	b := start(ts, append([]string{"listen", "127.0.0.1:0"}, args...)...)
	var address string
	if _, err := fmt.Sscanf(b.notes.wait(ts, 1), "Listening at %s", &address); err != nil {
		ts.Fatalf("it does not say where it listens")
	}
	ts.Setenv("LISTEN", strings.TrimSuffix(address, ";"))
	*ts.Value("receiver").(**background) = b
}

// received ends it.
func received(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: received")
	}
	(*ts.Value("receiver").(**background)).stop(ts)
}

// tail <arguments…> starts `caddy instagram tail`.
func tail(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: tail <arguments...>")
	}
	*ts.Value("tail").(**background) = start(ts, append([]string{"tail"}, args...)...)
}

// tailed <number> ends it once it has printed so many lines.
func tailed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tailed <number>")
	}
	lines, err := strconv.Atoi(args[0])
	ts.Check(err)
	b := *ts.Value("tail").(**background)
	b.out.wait(ts, lines)
	b.stop(ts)
}

// happens tells of a delivery, a refusal, and two attempts to deliver the event 3.
func happens(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: happens")
	}
	feed := ts.Value("feed").(*live.Feed)
	now := time.Now()
	const account, field = "17841400000000001", "comments"
	feed.Publish(live.Event{Kind: live.Delivery, Time: now, Status: 200, Field: field, Account: account, Events: 2})
	feed.Publish(live.Event{Kind: live.Refusal, Time: now, Status: 401, Reason: "signature_mismatch", ClientIP: "192.0.2.1"})
	attempt := live.Event{Kind: live.Attempt, Time: now, Field: field, Account: account, Consumer: "default", ID: 3, Try: 1}
	attempt.Reason, attempt.Error = "connection", "connection refused"
	feed.Publish(attempt)
	attempt.Reason, attempt.Error, attempt.Status, attempt.Try = "", "", 204, 2
	feed.Publish(attempt)
}

// reload <number> does what a reload of the config does to those who watch, once the tail
// has printed so many lines, and waits until it says so.
func reload(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: reload <number>")
	}
	lines, err := strconv.Atoi(args[0])
	ts.Check(err)
	b := *ts.Value("tail").(**background)
	b.out.wait(ts, lines)
	ts.Check(new(admin.API).Provision(caddy.Context{}))
	b.notes.wait(ts, 2)
}
