package bolt

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

var faultPoints = flag.Int("faults.points", 6, "at how many calls of the system each kind of fault is tried; 0: at all")

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

// runScript runs the script in a process of its own, below strace with injections
// into the calls that concern the queue's files, and returns the trace.
func runScript(t *testing.T, dir string, end storetest.End, injections ...string) (trace string) {
	t.Helper()
	log := filepath.Join(dir, "trace")
	const calls = "pwrite64,fdatasync,fsync,ftruncate,renameat,write"
	args := []string{"-f", "-s0", "-y", "-o", log, "-e", "trace=" + calls, "-e", "signal=none"}
	for _, name := range []string{"queue.db", "queue.db.new", "queue.db" + journalSuffix, storetest.Ledger, ""} {
		args = append(args, "-P", filepath.Join(dir, name))
	}
	for _, injection := range injections {
		args = append(args, "--inject="+injection)
	}
	if end != storetest.Killed {
		args = append(args, "--seccomp-bpf") // faster, but no signal is sent then
	}
	cmd := exec.Command("strace", append(args, os.Args[0], "-test.run=^TestScript$", "-test.v")...)
	cmd.Env = append(os.Environ(), scriptVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	if end == storetest.GaveUp {
		cmd.Env = append(cmd.Env, givesUpVariable+"=true")
	}
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
	if end == storetest.Killed {
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		happened = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if !happened && len(injections) > 0 {
		t.Errorf("injected %q, which did not happen", injections)
	}
	if end != storetest.Killed && !cmd.ProcessState.Success() || bytes.Contains(out, []byte("DATA RACE")) {
		t.Errorf("injected %q:\n%s", injections, out)
	}
	return trace
}

// calls counts the calls of a name in a trace.
func calls(trace, name string) int { return strings.Count(trace, " "+name+"(") }

// These are syncs of a commit and of a checkpoint: when one fails, nobody knows
// whether what it was to sync is on disk.
const (
	journalSync = "fdatasync of the journal"
	headSync    = "fdatasync of the head"
)

var syncOrWrite = regexp.MustCompile(` (renameat\(|(fdatasync|pwrite64)\(\d+<([^>]*)>(?:, .*, \d+, (\d+))?)`)

// syncs returns the numbers of those among all calls of fdatasync.
func syncs(trace string) map[string][]int {
	numbers := make(map[string][]int)
	n, head, made := 0, false, false
	for _, call := range syncOrWrite.FindAllStringSubmatch(trace, -1) {
		switch {
		case call[1] == "renameat(": // the queue has its name
			made = true
		case call[2] == "pwrite64":
			head = call[4] == "0" || call[4] == fmt.Sprint(os.Getpagesize())
		default:
			switch n++; {
			case strings.HasSuffix(call[3], journalSuffix):
				numbers[journalSync] = append(numbers[journalSync], n)
			case head && made:
				numbers[headSync] = append(numbers[headSync], n)
			}
		}
	}
	return numbers
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

// TestFaults kills the process at calls of the system that concern the queue, and
// lets such calls fail. In the ledger stands what was acknowledged: when writing
// that is prevented, the process ends between the commit and the answer.
func TestFaults(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("strace")
	need(t, err == nil, "strace")
	dir := t.TempDir()
	clean := runScript(t, dir, storetest.Complete)
	newScript(dir).Verify(t, storetest.Complete)
	// That a change is taken back comes after all other such calls.
	back := calls(clean, "fsync") + 1
	backFails := fmt.Sprintf("fsync:error=EIO:when=%d..%d", back, back+2)
	backKills := fmt.Sprintf("fsync:signal=SIGKILL:when=%d", back)
	special := syncs(clean)
	if want := storetest.Steps(); len(special[journalSync]) != want {
		t.Fatalf("%d commits synced the journal, want %d", len(special[journalSync]), want)
	}
	checkpoints := special[headSync]
	if len(checkpoints) < 5 {
		t.Fatalf("there were %d checkpoints", len(checkpoints))
	}
	special[headSync] = checkpoints[:len(checkpoints)-1] // the last one is of the list of free pages

	for _, fault := range []struct {
		end                storetest.End
		call, action, more string
	}{
		{storetest.Killed, "pwrite64", "signal=SIGKILL:when=FIRST", ""},
		{storetest.Killed, "fdatasync", "signal=SIGKILL:when=FIRST", ""},
		{storetest.Killed, "fsync", "signal=SIGKILL:when=FIRST", ""},
		{storetest.Killed, "ftruncate", "signal=SIGKILL:when=FIRST", ""},
		{storetest.Killed, "renameat", "signal=SIGKILL:when=FIRST", ""},
		{storetest.Killed, "write", "signal=SIGKILL:when=FIRST", ""},
		{storetest.Complete, "pwrite64", "error=EIO:when=FIRST", ""},
		{storetest.Complete, "pwrite64", "error=ENOSPC:when=FIRST", ""},
		{storetest.Complete, "pwrite64", "error=EIO:when=FIRST..LAST", ""},
		{storetest.Complete, "fdatasync", "error=EIO:when=FIRST", ""},
		{storetest.Complete, "fdatasync", "error=ENOSPC:when=FIRST", ""},
		{storetest.Complete, "fdatasync", "error=EIO:when=FIRST..LAST", ""},
		{storetest.Complete, "fsync", "error=EIO:when=FIRST", ""},
		{storetest.Complete, "ftruncate", "error=ENOSPC:when=FIRST", ""},
		{storetest.Complete, "renameat", "error=EIO:when=FIRST", ""},
		{storetest.Complete, headSync, "error=EIO:when=FIRST", ""},
		{storetest.Complete, headSync, "error=EIO:when=FIRST", backFails},
		{storetest.Killed, headSync, "error=EIO:when=FIRST", backKills},
		{storetest.GaveUp, headSync, "error=EIO:when=FIRST", ""},
		{storetest.Complete, journalSync, "error=EIO:when=FIRST", ""},
		{storetest.Complete, journalSync, "error=EIO:when=FIRST", backFails},
		{storetest.Killed, journalSync, "error=EIO:when=FIRST", backKills},
		{storetest.GaveUp, journalSync, "error=EIO:when=FIRST", ""},
		{storetest.GaveUp, "pwrite64", "error=EIO:when=FIRST", ""},
	} {
		numbers, isSpecial := special[fault.call]
		total := calls(clean, fault.call)
		if isSpecial {
			total = len(numbers)
		}
		if total == 0 {
			t.Errorf("there is no %s", fault.call)
		}
		for _, n := range points(total) {
			call := fault.call
			if isSpecial {
				call, n = "fdatasync", numbers[n-1]
			}
			injections := []string{call + ":" + strings.NewReplacer("FIRST", fmt.Sprint(n), "LAST", fmt.Sprint(n+4)).Replace(fault.action)}
			if fault.more != "" {
				injections = append(injections, fault.more)
			}
			t.Run(fmt.Sprintf("%s/%s", fault.end, strings.Join(injections, ",")), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				trace := runScript(t, dir, fault.end, injections...)
				if _, after, _ := strings.Cut(trace, "(INJECTED)"); isSpecial && calls(after, "fsync") == 0 && (fault.end != storetest.GaveUp || fault.call != headSync) {
					t.Error("the change was not taken back")
				}
				newScript(dir).Verify(t, fault.end)
			})
		}
	}
}
