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

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
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

// The ends of a script.
const (
	complete = "complete" // each step was done, perhaps after a while
	givesUp  = "gives up" // the queue was closed after the first failure
	killed   = "killed"
)

// runScript runs the script in a process of its own, below strace with injections
// into the calls that concern the queue's files, and returns the trace.
func runScript(t *testing.T, dir, end string, injections ...string) (trace string) {
	t.Helper()
	log := filepath.Join(dir, "trace")
	const calls = "pwrite64,fdatasync,fsync,ftruncate,renameat,write"
	args := []string{"-f", "-s0", "-y", "-o", log, "-e", "trace=" + calls, "-e", "signal=none"}
	for _, name := range []string{"queue.db", "queue.db.new", "queue.db" + journalSuffix, "ledger", ""} {
		args = append(args, "-P", filepath.Join(dir, name))
	}
	for _, injection := range injections {
		args = append(args, "--inject="+injection)
	}
	if end != killed {
		args = append(args, "--seccomp-bpf") // faster, but no signal is sent then
	}
	cmd := exec.Command("strace", append(args, os.Args[0], "-test.run=^TestScript$", "-test.v")...)
	cmd.Env = append(os.Environ(), scriptVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	if end == givesUp {
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
	if end == killed {
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		happened = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if !happened && len(injections) > 0 {
		t.Errorf("injected %q, which did not happen", injections)
	}
	if end != killed && !cmd.ProcessState.Success() || bytes.Contains(out, []byte("DATA RACE")) {
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

// verify checks the file that a script left behind. What the ledger acknowledges
// must be there. The step that a kill came into may be, but no other.
func verify(t *testing.T, dir, end string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	steps := script()
	acknowledged := strings.Count(string(text), "\n")
	if end == complete && acknowledged != len(steps) {
		t.Errorf("%d of %d steps are done", acknowledged, len(steps))
	}
	s, err := Open(filepath.Join(dir, "queue.db"), zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	check(t, s)
	m := newModel()
	for _, step := range steps[:acknowledged] {
		step.apply(m)
	}
	is, err := outlineOf(s)
	if end == killed && acknowledged < len(steps) && is != m.outline() {
		steps[acknowledged].apply(m)
	}
	if err != nil || is != m.outline() {
		t.Errorf("after %d steps the queue holds\n%s\n%v\nwant\n%s", acknowledged, is, err, m.outline())
	}

	// Exactly what was stored is a duplicate. The clock of the script began long
	// ago.
	var all []queue.Record
	known := make(map[string]bool)
	for _, step := range steps {
		whole := newModel()
		step.apply(whole)
		for _, e := range whole.events {
			if !known[e.Identity] {
				known[e.Identity] = true
				all = append(all, e.Record)
			}
		}
	}
	duplicates, err := s.Accept(ctx, all, queue.Admission{Dedupe: 100 * 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		_, seen := m.seen[r.DuplicateKey()]
		if duplicate := duplicates != nil && duplicates[i]; duplicate != seen {
			t.Errorf("%s is a duplicate: %t, want %t", r.Identity, duplicate, seen)
		}
	}
	check(t, s)
}

// TestFaults kills the process at calls of the system that concern the queue, and
// lets such calls fail. In the ledger stands what was acknowledged: when writing
// that is prevented, the process ends between the commit and the answer.
func TestFaults(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("strace")
	need(t, err == nil, "strace")
	dir := t.TempDir()
	clean := runScript(t, dir, complete)
	verify(t, dir, complete)
	// That a change is taken back comes after all other such calls.
	back := calls(clean, "fsync") + 1
	backFails := fmt.Sprintf("fsync:error=EIO:when=%d..%d", back, back+2)
	backKills := fmt.Sprintf("fsync:signal=SIGKILL:when=%d", back)
	special := syncs(clean)
	if want := len(script()); len(special[journalSync]) != want {
		t.Fatalf("%d commits synced the journal, want %d", len(special[journalSync]), want)
	}
	checkpoints := special[headSync]
	if len(checkpoints) < 5 {
		t.Fatalf("there were %d checkpoints", len(checkpoints))
	}
	special[headSync] = checkpoints[:len(checkpoints)-1] // the last one is of the list of free pages

	for _, fault := range []struct{ end, call, action, more string }{
		{killed, "pwrite64", "signal=SIGKILL:when=FIRST", ""},
		{killed, "fdatasync", "signal=SIGKILL:when=FIRST", ""},
		{killed, "fsync", "signal=SIGKILL:when=FIRST", ""},
		{killed, "ftruncate", "signal=SIGKILL:when=FIRST", ""},
		{killed, "renameat", "signal=SIGKILL:when=FIRST", ""},
		{killed, "write", "signal=SIGKILL:when=FIRST", ""},
		{complete, "pwrite64", "error=EIO:when=FIRST", ""},
		{complete, "pwrite64", "error=ENOSPC:when=FIRST", ""},
		{complete, "pwrite64", "error=EIO:when=FIRST..LAST", ""},
		{complete, "fdatasync", "error=EIO:when=FIRST", ""},
		{complete, "fdatasync", "error=ENOSPC:when=FIRST", ""},
		{complete, "fdatasync", "error=EIO:when=FIRST..LAST", ""},
		{complete, "fsync", "error=EIO:when=FIRST", ""},
		{complete, "ftruncate", "error=ENOSPC:when=FIRST", ""},
		{complete, "renameat", "error=EIO:when=FIRST", ""},
		{complete, headSync, "error=EIO:when=FIRST", ""},
		{complete, headSync, "error=EIO:when=FIRST", backFails},
		{killed, headSync, "error=EIO:when=FIRST", backKills},
		{givesUp, headSync, "error=EIO:when=FIRST", ""},
		{complete, journalSync, "error=EIO:when=FIRST", ""},
		{complete, journalSync, "error=EIO:when=FIRST", backFails},
		{killed, journalSync, "error=EIO:when=FIRST", backKills},
		{givesUp, journalSync, "error=EIO:when=FIRST", ""},
		{givesUp, "pwrite64", "error=EIO:when=FIRST", ""},
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
				if _, after, _ := strings.Cut(trace, "(INJECTED)"); isSpecial && calls(after, "fsync") == 0 && (fault.end != givesUp || fault.call != headSync) {
					t.Error("the change was not taken back")
				}
				verify(t, dir, fault.end)
			})
		}
	}
}
