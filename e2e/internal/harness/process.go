package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test started.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output transcript    // of stdout and stderr
	exited chan struct{} // closed when the program was reaped
}

// start starts a program and keeps what it writes.
func start(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: name, cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
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

// StartProgram starts a program that ends with the test, by the name of its file.
func StartProgram(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return startFor(t, filepath.Base(cmd.Path), cmd)
}

// startFor starts a program that ends with the test. The test fails if the
// program had a data race or panicked.
func startFor(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p, err := start(name, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if _, stacks, hung := strings.Cut(p.Output(), "SIGABRT: abort"); hung {
			t.Errorf("%s hung:%s", name, stacks[:min(len(stacks), maxStacks)])
		}
		if report := p.crashReport(); report != "" {
			t.Errorf("%s: %s", name, report)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, Tail(p.Output(), 60))
		}
	})
	return p
}

// maxStacks bounds what is told of a program that hung, in bytes.
const maxStacks = 100_000

// Stop asks the program to end, kills it if it hangs, and waits for its end. One in Go then
// writes what its goroutines do.
func (p *Process) Stop() {
	if runtime.GOOS == "windows" || p.cmd.Process.Signal(os.Interrupt) != nil {
		_ = p.cmd.Process.Kill()
	}
	quit := time.AfterFunc(Timeout, func() { _ = p.cmd.Process.Signal(syscall.SIGABRT) })
	defer quit.Stop()
	kill := time.AfterFunc(Timeout+10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.exited
}

// Kill kills the program and waits for its end.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// Succeeded waits for the end of the program, and reports whether its exit code
// was 0.
func (p *Process) Succeeded() bool {
	<-p.exited
	return p.cmd.ProcessState.Success()
}

// crashReport returns what the program said about a data race or a panic.
func (p *Process) crashReport() string {
	output := p.Output()
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "\"msg\":\"panic", "fatal error: "} {
		if at := strings.Index(output, sign); at >= 0 {
			return Tail(output[at:min(at+4000, len(output))], 80)
		}
	}
	return ""
}

// Output returns all that the program has written.
func (p *Process) Output() string { return p.output.String() }

// CountLines returns how many lines of the output contain all of these texts.
func (p *Process) CountLines(texts ...string) int { return CountLines(p.Output(), texts...) }

// CountLines returns how many lines of a text contain all of these parts.
func CountLines(text string, parts ...string) (n int) {
	for line := range strings.Lines(text) {
		missing := func(part string) bool { return !strings.Contains(line, part) }
		if !slices.ContainsFunc(parts, missing) {
			n++
		}
	}
	return n
}

// WaitOutput returns the first match of a regular expression in the output, with
// its groups.
func (p *Process) WaitOutput(t testing.TB, pattern string) []string {
	t.Helper()
	return p.WaitOutputFrom(t, 0, pattern)
}

// WaitOutputFrom is WaitOutput for what comes after the first bytes.
func (p *Process) WaitOutputFrom(t testing.TB, offset int, pattern string) []string {
	t.Helper()
	match, err := p.match(offset, pattern)
	if err != nil {
		t.Fatal(err)
	}
	return match
}

func (p *Process) match(offset int, pattern string) (match []string, err error) {
	re := regexp.MustCompile(pattern)
	searched := -1
	poll(func() bool {
		exited := p.hasExited() // before the output is read: there is no more after it
		if output := p.Output(); len(output) > searched {
			searched = len(output)
			match = re.FindStringSubmatch(output[offset:])
		}
		return match != nil || exited
	})
	switch {
	case match != nil:
		return match, nil
	case p.hasExited():
		err = fmt.Errorf("%s ended (%s) before it wrote %q", p.name, p.cmd.ProcessState, pattern)
	default:
		err = fmt.Errorf("%s did not write %q in %s", p.name, pattern, Timeout)
	}
	return nil, fmt.Errorf("%w; it wrote:\n%s", err, Tail(p.Output(), 30))
}

func (p *Process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// transcript is a buffer that is written and read at the same time.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (tr *transcript) Write(text []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.Write(text)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.String()
}

// environment is what every program of the tests gets: ours, without proxies,
// with extra at its end.
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

// Tail returns the last n lines of a text.
func Tail(s string, n int) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
