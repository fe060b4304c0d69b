package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of the tests. Nothing comes near it unless it
// hangs: a race-enabled Caddy on a busy machine is slow.
const patience = 90 * time.Second

// process is a program that the tests started. All that it wrote is kept.
type process struct {
	name   string
	cmd    *exec.Cmd
	output transcript
	exited chan struct{} // closed when the program was reaped
}

// startProcess starts cmd and keeps what it writes.
func startProcess(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout = &p.output
	cmd.Stderr = &p.output
	if cmd.Env == nil {
		cmd.Env = environment()
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait() // how it ended stands in cmd.ProcessState
		close(p.exited)
	}()
	return p, nil
}

// runProcess is startProcess for one test: the program ends with the test,
// which fails if the program had a data race or panicked.
func runProcess(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p, err := startProcess(name, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if trouble := p.trouble(); trouble != "" {
			t.Errorf("%s: %s", name, trouble)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, tail(p.output.String(), 60))
		}
	})
	return p
}

// stop asks the program to end, insists if it hangs, and reaps it.
func (p *process) stop() {
	if runtime.GOOS == "windows" || p.cmd.Process.Signal(os.Interrupt) != nil {
		_ = p.cmd.Process.Kill()
	}
	insist := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer insist.Stop()
	<-p.exited
}

// trouble tells of what must never happen in any program of the tests.
func (p *process) trouble() string {
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "\"msg\":\"panic", "fatal error: "} {
		if at := strings.Index(p.output.String(), sign); at >= 0 {
			return tail(p.output.String()[at:min(at+4000, len(p.output.String()))], 80)
		}
	}
	return ""
}

// await returns the first match of pattern in what the program wrote.
func (p *process) await(pattern string) ([]string, error) { return p.awaitAfter(0, pattern) }

// awaitAfter is await for what came after the first bytes of output.
func (p *process) awaitAfter(bytes int, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		changed := p.output.changed()
		if match := re.FindStringSubmatch(p.output.String()[bytes:]); match != nil {
			return match, nil
		}
		select {
		case <-changed:
		case <-p.exited:
			if match := re.FindStringSubmatch(p.output.String()[bytes:]); match != nil {
				return match, nil
			}
			return nil, fmt.Errorf("%s ended (%s) before it wrote %q; it wrote:\n%s",
				p.name, p.cmd.ProcessState, pattern, tail(p.output.String(), 30))
		case <-deadline.C:
			return nil, fmt.Errorf("%s did not write %q in %s; it wrote:\n%s", p.name, pattern, patience, tail(p.output.String(), 30))
		}
	}
}

func (p *process) mustAwait(t *testing.T, pattern string) []string {
	t.Helper()
	match, err := p.await(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return match
}

// transcript keeps what is written to it and tells who waits for more.
type transcript struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	waiting chan struct{}
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.waiting != nil {
		close(tr.waiting)
		tr.waiting = nil
	}
	return tr.buf.Write(p)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.String()
}

// Len returns how many bytes were written.
func (tr *transcript) Len() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.Len()
}

// changed returns a channel that the next Write closes.
func (tr *transcript) changed() <-chan struct{} {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.waiting == nil {
		tr.waiting = make(chan struct{})
	}
	return tr.waiting
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// environment is what every program of the tests gets: ours, with no proxy in
// the way, with extra at its end.
func environment(extra ...string) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
		default:
			env = append(env, variable)
		}
	}
	// A race-enabled program would linger for a second at its end.
	return append(append(env, "GORACE=atexit_sleep_ms=0"), extra...)
}

// ports holds the ports given out, so that two tests never get the same.
var ports = struct {
	sync.Mutex
	next int
}{next: 12000 + os.Getpid()*37%9000}

// freePort returns a TCP port of 127.0.0.1 that nobody listens on. It lies
// below the ranges that systems take for outgoing connections, so that none of
// those gets it first.
func freePort(t testing.TB) int {
	t.Helper()
	port, err := findPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func findPort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	for range 2000 {
		if ports.next++; ports.next > 31000 {
			ports.next = 12000
		}
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(ports.next))
		if err == nil {
			return ports.next, listener.Close()
		}
	}
	return 0, errors.New("no free port between 12000 and 31000")
}
