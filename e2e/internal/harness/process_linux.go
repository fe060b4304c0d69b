package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Freeze stops all threads of the program. Those in a system call may finish it,
// but see nothing of its result.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	p.freeze(t, "TD")
}

// FreezeBetweenCalls is Freeze, once no thread is in a system call that cannot be
// interrupted, such as a sync.
func (p *Process) FreezeBetweenCalls(t testing.TB) {
	t.Helper()
	p.freeze(t, "T")
}

// Thaw lets a frozen program go on.
func (p *Process) Thaw(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// freeze stops all threads, and returns when each is in one of these states.
func (p *Process) freeze(t testing.TB, states string) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for running := true; running; runtime.Gosched() {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("%s has no threads: %v", p.name, err)
		}
		running = false
		for _, task := range tasks {
			stat, err := os.ReadFile(task)
			if err != nil {
				continue // the thread has ended
			}
			// The state stands behind the name, which is in parentheses.
			_, state, _ := strings.Cut(string(stat), ") ")
			running = running || state == "" || !strings.Contains(states, state[:1])
		}
	}
}
