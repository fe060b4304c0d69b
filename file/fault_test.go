package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/zap"
)

// faultyDisk fails its n-th operation, and a span of those that follow. A write
// that fails has put half of its bytes into the file.
type faultyDisk struct {
	osDisk
	t     *testing.T
	fault error
	span  int64
	left  atomic.Int64
}

func (d *faultyDisk) fails() bool {
	left := d.left.Add(-1)
	return left <= 0 && left > -d.span
}

func (d *faultyDisk) OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error) {
	if d.fails() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: d.fault}
	}
	f, err := d.osDisk.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, d, false}, nil
}

func (d *faultyDisk) Stat(name string) (fs.FileInfo, error) {
	if d.fails() {
		return nil, d.fault
	}
	return d.osDisk.Stat(name)
}

func (d *faultyDisk) Mkdir(name string, mode fs.FileMode) error {
	if d.fails() {
		return d.fault
	}
	return d.osDisk.Mkdir(name, mode)
}

func (d *faultyDisk) Rename(from, to string) error {
	if d.fails() {
		return d.fault
	}
	return d.osDisk.Rename(from, to)
}

func (d *faultyDisk) Remove(name string) error {
	if d.fails() {
		return d.fault
	}
	return d.osDisk.Remove(name)
}

func (d *faultyDisk) SyncDir(name string) error {
	if d.fails() {
		return d.fault
	}
	return d.osDisk.SyncDir(name)
}

// faultyFile also reports a descriptor that is used again after a failure.
type faultyFile struct {
	diskFile
	disk   *faultyDisk
	failed bool
}

func (f *faultyFile) check(op string) error {
	if f.failed {
		f.disk.t.Errorf("%s on a descriptor that failed before", op)
	}
	if f.disk.fails() {
		f.failed = true
		return fmt.Errorf("%s: %w", op, f.disk.fault)
	}
	return nil
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.check("write"); err != nil {
		n, _ := f.diskFile.Write(p[:len(p)/2])
		return n, err
	}
	return f.diskFile.Write(p)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	return f.diskFile.ReadAt(p, off)
}

func (f *faultyFile) Sync() error {
	if err := f.check("sync"); err != nil {
		return err
	}
	return f.diskFile.Sync()
}

func (f *faultyFile) Chmod(mode fs.FileMode) error {
	if err := f.check("chmod"); err != nil {
		return err
	}
	return f.diskFile.Chmod(mode)
}

// The others are what a file may be asked after a failure.

func (f *faultyFile) Stat() (fs.FileInfo, error) {
	if f.disk.fails() {
		f.failed = true
		return nil, f.disk.fault
	}
	return f.diskFile.Stat()
}

func (f *faultyFile) Truncate(size int64) error {
	if f.disk.fails() {
		return f.disk.fault
	}
	return f.diskFile.Truncate(size)
}

func (f *faultyFile) Close() error {
	err := f.diskFile.Close()
	if f.disk.fails() {
		return f.disk.fault
	}
	return err
}

// TestEveryFault fails the first, the second, the third… operation, until a run
// needs none of them. In each run records are sent until they are
// acknowledged, as Meta does.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{layoutLines, layoutFiles} {
		for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
			for _, before := range []string{"new", "torn", "whole"} {
				for _, span := range []int64{1, 4} {
					t.Run(fmt.Sprintf("%s/%v/%s/%d", layout, fault, before, span), func(t *testing.T) {
						t.Parallel()
						runs := int64(1)
						for runWithFault(t, layout, before, fault, runs, span) {
							runs++
						}
						if runs < 15 {
							t.Errorf("only %d runs: faults are not injected", runs)
						}
					})
				}
			}
		}
	}
}

// runWithFault reports whether the fault came up.
func runWithFault(t *testing.T, layout, before string, fault error, n, span int64) bool {
	d := &faultyDisk{t: t, fault: fault, span: span}
	d.left.Store(n)
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := dir
	if layout == layoutLines {
		path = filepath.Join(dir, "events.jsonl")
	}
	if before != "new" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if layout == layoutLines && before != "new" {
		text := map[string]string{"torn": "{\"whole\":1}\n{\"to", "whole": "{\"whole\":1}\n"}[before]
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &Handler{Mode: Mode(defaultMode), Layout: layout, logger: zap.NewNop()}
	pool := newPool(d, 1)
	failures := 0
	for i := range 5 {
		data := []byte(fmt.Sprintf(`{"id":%d,"text":%q}`, i, strings.Repeat("x", 50)))
		for {
			sink := pool.acquire(path, o)
			err := sink.add([]record{{fmt.Sprintf("%d-a.json", i), data}, {fmt.Sprintf("%d-b.json", i), data}})
			pool.release(sink, o.logger)
			if err == nil {
				break
			}
			if failures++; failures > int(span) || !errors.Is(err, fault) {
				t.Fatalf("operation %d: %d faults made %d failures: %v", n, span, failures, err)
			}
		}
		if i == 2 { // the sink is closed to make room
			pool.release(pool.acquire(filepath.Join(t.TempDir(), "other"), o), o.logger)
		}
		holds(t, n, layout, path, before, i, data)
	}
	// A fault in closing a file to make room fails nothing.
	return d.left.Load() <= 0
}

// holds checks that the records up to i are stored whole, and nothing half.
func holds(t *testing.T, n int64, layout, path, before string, i int, data []byte) {
	t.Helper()
	if layout == layoutFiles {
		for _, side := range []string{"a", "b"} {
			got, err := os.ReadFile(filepath.Join(path, fmt.Sprintf("%d-%s.json", i, side)))
			if err != nil || string(got) != string(data)+"\n" {
				t.Fatalf("operation %d: file %d-%s holds %q, %v", n, i, side, got, err)
			}
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	seen := 0
	for _, line := range lines {
		var id int
		switch {
		case line == string(data):
			seen++
		case before != "new" && line == `{"whole":1}`, before == "torn" && line == `{"to`:
		case strings.HasPrefix(line, `{"id":`) && strings.HasSuffix(line, `x"}`):
			if _, err := fmt.Sscanf(line, `{"id":%d,`, &id); err != nil || id >= i {
				t.Fatalf("operation %d: unexpected line %q", n, line)
			}
		case strings.HasPrefix(line, `{"id":`):
			// What could not be cut back is a line that is no JSON.
			if strings.HasSuffix(line, "}") {
				t.Fatalf("operation %d: half a line reads as an event: %q", n, line)
			}
		default:
			t.Fatalf("operation %d: unexpected line %q", n, line)
		}
	}
	if seen < 2 || !strings.HasSuffix(string(text), "\n") {
		t.Fatalf("operation %d: record %d is there %d times in %q", n, i, seen, text)
	}
}
