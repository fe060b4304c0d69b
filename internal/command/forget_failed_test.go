package command

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/piece"
)

// TestForgetThatFails takes the new file away, so that it cannot take its place: the lines are
// where they were, or where the error says.
func TestForgetThatFails(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		path := filepath.Join(dir, "events.jsonl")
		write(t, path, theirs+others)
		done := make(chan struct{})
		var gateway sync.WaitGroup
		gateway.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640); err == nil {
					_ = f.Close() // it is empty
					return
				}
			}
		})
		r, err := forget(&between{t.Context(), 20, func() {
			for _, name := range inDirectory(t, dir) {
				if name != filepath.Base(path) {
					_ = os.Remove(filepath.Join(dir, name)) // it is missed below
				}
			}
		}}, path)
		close(done)
		gateway.Wait()
		names := holders(t, dir)
		if err == nil || len(names) != 1 || r != nil && r.Count != 0 {
			t.Fatalf("%+v, %v, %q", r, err, names)
		}
		if where := filepath.Join(dir, names[0]); where == path {
			if got := statusOf(err); got != exitRefused {
				t.Errorf("exit code %d, though nothing was changed", got)
			}
		} else if got := statusOf(err); got != exitPartial || !strings.Contains(err.Error(), "the lines so far are in "+where) {
			t.Errorf("exit code %d, %v; the lines are in %s", got, err, where)
		}
		if again, err := forget(t.Context(), filesIn(t, dir)...); err != nil || again.Count != 1 || holders(t, dir) != nil {
			t.Errorf("the second time: %+v, %v, %q", again, err, holders(t, dir))
		}
	}
}

// TestForgetThatCannotBegin leaves a file where it is for which no new one can be made.
func TestForgetThatCannotBegin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := strings.Repeat("x", 255-len(forgettingSuffix+".jsonl")) + ".jsonl" // it could be moved
	path := filepath.Join(dir, name)
	write(t, path, theirs+others)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = forget(t.Context(), path)
	after, statErr := os.Stat(path)
	if err == nil || statusOf(err) != exitRefused || statErr != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%v, %v", err, statErr)
	}
}

// TestForgetAfterACopy refuses a file, compressed or not, beside which is a copy of it.
func TestForgetAfterACopy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"events.jsonl", "events.jsonl.gz"} {
		dir := filepath.Join(t.TempDir(), "x"+forgettingSuffix+"-1")
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		write(t, path, theirs+others)
		if codecOf(path) != nil {
			compressFile(t, path)
			move(t, path+".gz", path)
		}
		var left []string // of a run that is killed while it copies
		_, _ = forget(&between{t.Context(), 20, func() {
			for _, name := range filesIn(t, dir) {
				if name != path {
					left = append(left, name)
				}
			}
		}}, path)
		for _, name := range left {
			write(t, name, theirs)
		}
		if matched, err := filepath.Glob(filepath.Join(dir, "*.jsonl*")); err != nil || len(left) != 1 || len(matched) != 2 {
			t.Fatalf("left are %q; the pattern finds %q, %v", left, matched, err)
		}
		for _, given := range [][]string{{path}, left, filesIn(t, dir)} {
			if r, err := forget(t.Context(), given...); err == nil || statusOf(err) != exitRefused || !strings.Contains(err.Error(), left[0]+" is a copy") {
				t.Errorf("%q: %+v, %v", given, r, err)
			}
		}
	}
}

// TestForgetAfterAnInterruption refuses a file of which lines are elsewhere, even if nobody is
// found in it.
func TestForgetAfterAnInterruption(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	write(t, path, others)
	write(t, path+forgettingSuffix, theirs)
	for _, given := range [][]string{{path}, {path + forgettingSuffix}, {path, path + forgettingSuffix}} {
		r, err := forget(t.Context(), given...)
		if err == nil || statusOf(err) != exitRefused || !strings.Contains(err.Error(), "lines are in "+path+forgettingSuffix+". Rename that to ") {
			t.Fatalf("%q: %+v, %v", given, r, err)
		}
	}
	move(t, path+forgettingSuffix, piece.Name(path, time.Now()))
	if r, err := forget(t.Context(), filesIn(t, dir)...); err != nil || r.Count != 1 || holders(t, dir) != nil {
		t.Errorf("%+v, %v, %q", r, err, holders(t, dir))
	}
}
