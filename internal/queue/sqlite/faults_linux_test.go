package sqlite

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

var faultPoints = flag.Int("faults.points", 3, "at how many calls of the system each kind of fault is tried; 0: at all")

// scriptVariable names the directory of a script that is run in a process of its own,
// where faults are injected.
const scriptVariable = "SQLITE_SCRIPT"

// need skips a test for which something is missing, but not in CI.
func need(t *testing.T, there bool, what string) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI must have what this test needs: %s", what)
	default:
		t.Skipf("skipped: this test needs %s", what)
	}
}

func newScript(dir string) storetest.Script {
	return storetest.Script{
		Open: func() (queue.Store, error) { return Open(filepath.Join(dir, "queue.db"), zap.NewNop) },
		Dir:  dir,
	}
}

// TestScript follows the script. When nothing fails this shows that the script is right. In
// a process of its own some system calls fail.
func TestScript(t *testing.T) {
	dir := os.Getenv(scriptVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	newScript(dir).Follow(t)
}

// runScript runs the script in a process of its own, below strace with an injection into
// the calls that concern the queue's files, and returns the trace.
func runScript(t *testing.T, dir, injection string) (trace string) {
	t.Helper()
	log := filepath.Join(dir, "trace")
	const calls = "pwrite64,fdatasync,fsync,ftruncate,fallocate,renameat,unlinkat,write"
	args := []string{"-f", "-s0", "-y", "-o", log, "-e", "trace=" + calls, "-e", "signal=none"}
	for _, suffix := range []string{"", walSuffix, shmSuffix, "-journal", ".new", ".new-journal", ".compact", ".compact-journal", reserveSuffix} {
		args = append(args, "-P", filepath.Join(dir, "queue.db"+suffix))
	}
	args = append(args, "-P", filepath.Join(dir, storetest.Ledger), "-P", dir)
	kills := strings.Contains(injection, "SIGKILL")
	if injection != "" {
		args = append(args, "--inject="+injection)
	}
	if !kills {
		args = append(args, "--seccomp-bpf") // faster, but no signal is sent then
	}
	cmd := exec.Command("strace", append(args, os.Args[0], "-test.run=^TestScript$", "-test.v")...)
	cmd.Env = append(os.Environ(), scriptVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	trace = string(text)
	happened := strings.Contains(trace, "(INJECTED)")
	if kills {
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		happened = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if !happened && injection != "" {
		t.Errorf("injected %q, which did not happen\n%s", injection, out)
	}
	if !kills && !cmd.ProcessState.Success() || bytes.Contains(out, []byte("DATA RACE")) {
		t.Errorf("injected %q:\n%s", injection, out)
	}
	return trace
}

// points spreads n points over 1…total.
func points(total int) (all []int) {
	n := total
	if *faultPoints > 0 {
		n = min(n, *faultPoints)
	}
	offset := int(time.Now().UnixNano() % 1e6)
	for i := range n {
		low, high := i*total/n, (i+1)*total/n
		all = append(all, 1+low+offset%(high-low))
	}
	return all
}

// TestFaults kills the process at calls of the system that concern the queue, and lets such
// calls fail. In the ledger stands what was acknowledged.
func TestFaults(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("strace")
	need(t, err == nil, "strace")
	dir := t.TempDir()
	clean := runScript(t, dir, "")
	newScript(dir).Verify(t, storetest.Complete)
	for call, actions := range map[string][]string{
		"pwrite64":  {"signal=SIGKILL:when=%d", "error=EIO:when=%d", "error=ENOSPC:when=%d", "error=EIO:when=%d..+4"},
		"fdatasync": {"signal=SIGKILL:when=%d", "error=EIO:when=%d", "error=ENOSPC:when=%d", "error=EIO:when=%d..+4"},
		"fsync":     {"signal=SIGKILL:when=%d", "error=EIO:when=%d"},
		"ftruncate": {"signal=SIGKILL:when=%d", "error=ENOSPC:when=%d"},
		"fallocate": {"error=ENOSPC:when=%d"},
		"renameat":  {"signal=SIGKILL:when=%d", "error=EIO:when=%d"},
		"unlinkat":  {"signal=SIGKILL:when=%d", "error=EIO:when=%d"},
		"write":     {"signal=SIGKILL:when=%d", "error=ENOSPC:when=%d"},
	} {
		total := strings.Count(clean, " "+call+"(")
		if total == 0 {
			t.Errorf("there is no %s", call)
			continue
		}
		for _, action := range actions {
			for _, n := range points(total) {
				injection := call + ":" + fmt.Sprintf(action, n)
				injection = strings.Replace(injection, "..+4", fmt.Sprintf("..%d", n+4), 1)
				if call == "write" && strings.Contains(action, "error") {
					continue // that is the ledger's, or harmless
				}
				t.Run(injection, func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					runScript(t, dir, injection)
					end := storetest.Complete
					if strings.Contains(injection, "SIGKILL") {
						end = storetest.Killed
					}
					newScript(dir).Verify(t, end)
				})
			}
		}
	}
}
