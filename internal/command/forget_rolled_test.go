package command

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// between is a context in which something happens before the n-th line is read.
type between struct {
	context.Context
	n    int
	then func()
}

func (b *between) Err() error {
	if b.n--; b.n == 0 {
		b.then()
	}
	return b.Context.Err()
}

// theirs and others are lines of somebody who is to be forgotten, and of somebody else.
var (
	theirs = eventLines("2", forgotten)[0] + "\n"
	others = strings.Repeat(eventLines("1", "1")[0]+"\n", 9)
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// holders returns the names of the files in a directory that hold who is to be forgotten.
func holders(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, name := range inDirectory(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), forgotten) {
			names = append(names, name)
		}
	}
	return names
}

func forget(ctx context.Context, paths ...string) (*forgottenLines, error) {
	found, err := forgetInFiles(ctx, paths, queue.Erasure{Subject: queue.Subject{User: forgotten}})
	r, _ := found.(*forgottenLines)
	return r, err
}

// TestForgetWhileRolled rolls a file while it is searched, and while it is copied.
func TestForgetWhileRolled(t *testing.T) {
	t.Parallel()
	for name, roll := range map[string]func(t *testing.T, path string){
		"anew":           func(t *testing.T, path string) { rollFile(t, path); write(t, path, others) },
		"without a file": rollFile,
		"compressed": func(t *testing.T, path string) {
			rollFile(t, path)
			compressFile(t, rolledName(path))
			write(t, path, others)
		},
	} {
		for _, n := range []int{4, 16} { // of 10 lines that are searched, and then copied
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "events.jsonl")
				write(t, path, theirs+others)
				r, err := forget(&between{t.Context(), n, func() { roll(t, path) }}, path)
				if err != nil || r.Count != 1 || len(r.Files) != 1 || !strings.HasPrefix(r.Files[0], rolledName(path)) {
					t.Errorf("%+v, %v", r, err)
				}
				if names := holders(t, dir); names != nil {
					t.Errorf("the lines are still in %q", names)
				}
				if again, err := forget(t.Context(), filesIn(t, dir)...); err != nil || again.Count != 0 {
					t.Errorf("the second time: %+v, %v", again, err)
				}
			})
		}
	}
}

// TestForgetWhatIsRolledLater rolls a file that was looked through while another one is.
func TestForgetWhatIsRolledLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, second := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "other.jsonl")
	write(t, path, others)
	write(t, second, others)
	r, err := forget(&between{t.Context(), 16, func() {
		write(t, path, others+theirs) // accepted since
		rollFile(t, path)
	}}, path, second)
	if err != nil || r.Count != 1 || holders(t, dir) != nil {
		t.Errorf("%+v, %v, %q", r, err, holders(t, dir))
	}
}

// TestForgetWhatWasMovedFar moves a file to where nobody looks for it.
func TestForgetWhatWasMovedFar(t *testing.T) {
	t.Parallel()
	dir, far := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	write(t, path, theirs+others)
	r, err := forget(&between{t.Context(), 4, func() {
		move(t, path, filepath.Join(far, "events.jsonl"))
		write(t, path, others)
	}}, path)
	if err == nil || !strings.Contains(err.Error(), "it was moved or deleted while it was read") || r.Count != 0 || statusOf(err) != exitPartial {
		t.Errorf("%+v, %v", r, err)
	}
}

func rolledName(path string) string {
	return strings.TrimSuffix(path, ".jsonl") + "-2026-11-23T17-00-00.000-size.jsonl"
}

// compressFile compresses a file as instagram_file does.
func compressFile(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var to bytes.Buffer
	z := gzip.NewWriter(&to)
	_, err = z.Write(data)
	if err := errors.Join(err, z.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	write(t, path+".gz", to.String())
}

func statusOf(err error) int {
	if f, has := errors.AsType[*failure](err); has {
		return f.status
	}
	return exitInput
}

func rollFile(t *testing.T, path string) { t.Helper(); move(t, path, rolledName(path)) }

// filesIn returns the paths of all files.
func filesIn(t *testing.T, dir string) (paths []string) {
	t.Helper()
	for _, name := range inDirectory(t, dir) {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}
