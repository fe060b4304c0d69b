package e2e

import (
	"bytes"
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

// ports are given out from a block that this process has for itself as long as it
// lives, so that no two tests get the same, not even of two runs at the same time.
var ports struct {
	sync.Mutex
	next, end int
	blocks    []net.Listener // on the first port of each block
}

// The blocks lie below the ports that systems take for outgoing connections, so
// that none of those gets one first.
const (
	firstPort = 12000
	blocks    = 19
	blockSize = 1000
)

// freePort returns a TCP port of 127.0.0.1 that nobody listens on.
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
	for range 2 * blockSize {
		if ports.next == ports.end && !nextBlock() {
			break
		}
		port := ports.next
		ports.next++
		if listener, err := listen(port); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, firstPort+blocks*blockSize)
}

// TestPortsAreNotGivenToAnotherRun looks for what keeps another process out of the
// block.
func TestPortsAreNotGivenToAnotherRun(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	first := port - (port-firstPort)%blockSize
	if listener, err := listen(first); err == nil {
		_ = listener.Close()
		t.Errorf("port %d was given out, but another process can take its block", port)
	}
}

// nextBlock takes a block that no other process has, or, if there is none, begins
// again with the one that is the longest in use.
func nextBlock() bool {
	for i := range blocks {
		first := firstPort + (os.Getpid()+i)%blocks*blockSize
		if guard, err := listen(first); err == nil {
			ports.blocks = append(ports.blocks, guard)
			ports.next, ports.end = first+1, first+blockSize
			return true
		}
	}
	if len(ports.blocks) == 0 {
		return false
	}
	oldest := ports.blocks[0]
	ports.blocks = append(ports.blocks[1:], oldest)
	first := oldest.Addr().(*net.TCPAddr).Port
	ports.next, ports.end = first+1, first+blockSize
	return true
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
}
