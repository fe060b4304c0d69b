package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap"
)

// volatileDisk knows what a power cut would take away: the data of files, and
// the entries of directories, that were not synced. It may fail a sync of a
// directory, once.
type volatileDisk struct {
	osDisk
	failDir string

	mu      sync.Mutex
	entries map[string]bool // paths whose entry is not on disk
	data    map[string]bool // files whose data is not on disk
}

func newVolatileDisk() *volatileDisk {
	return &volatileDisk{entries: make(map[string]bool), data: make(map[string]bool)}
}

// volatile returns all that is not on disk, of what readers take for events.
func (d *volatileDisk) volatile() (paths []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, set := range []map[string]bool{d.entries, d.data} {
		for path := range set {
			if !strings.HasPrefix(filepath.Base(path), temporaryPrefix) {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (d *volatileDisk) OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error) {
	_, err := d.Stat(name)
	f, err2 := d.osDisk.OpenFile(name, flag, mode)
	if err2 != nil {
		return nil, err2
	}
	if errors.Is(err, fs.ErrNotExist) {
		d.mu.Lock()
		d.entries[name] = true
		d.mu.Unlock()
	}
	return &volatileFile{f, d, name}, nil
}

func (d *volatileDisk) Mkdir(name string, mode fs.FileMode) error {
	err := d.osDisk.Mkdir(name, mode)
	if err == nil {
		d.mu.Lock()
		d.entries[name] = true
		d.mu.Unlock()
	}
	return err
}

func (d *volatileDisk) Rename(from, to string) error {
	err := d.osDisk.Rename(from, to)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.entries, from)
		d.entries[to] = true
		if d.data[from] {
			d.data[to] = true
		}
		delete(d.data, from)
	}
	return err
}

func (d *volatileDisk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == d.failDir {
		d.failDir = ""
		return syscall.EIO
	}
	for path := range d.entries {
		if filepath.Dir(path) == name {
			delete(d.entries, path)
		}
	}
	return nil
}

type volatileFile struct {
	diskFile
	disk *volatileDisk
	name string
}

func (f *volatileFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	f.disk.data[f.name] = true
	f.disk.mu.Unlock()
	return f.diskFile.Write(p)
}

func (f *volatileFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	delete(f.disk.data, f.name)
	return nil
}

// TestNothingIsPromisedThatIsNotOnDisk looks at the disk whenever a record is
// acknowledged: new files, new directories, renamed and rolled files.
func TestNothingIsPromisedThatIsNotOnDisk(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{layoutLines, layoutFiles} {
		for _, failing := range []string{"", "a", "a/b", "."} {
			t.Run(layout+"/"+failing, func(t *testing.T) {
				t.Parallel()
				root := t.TempDir()
				d := newVolatileDisk()
				if failing != "" {
					d.failDir = filepath.Join(root, failing)
				}
				p := newPool(d, 2)
				o := &Handler{Mode: Mode(defaultMode), Layout: layout, logger: zap.NewNop()}
				failures := 0
				for i := range 30 {
					path := filepath.Join(root, "a", "b", fmt.Sprint("c", i%3), "events.jsonl")
					sink := p.acquire(path, o)
					err := sink.add([]record{{fmt.Sprintf("%d.json", i), []byte("{}")}})
					p.release(sink, o.logger)
					if err != nil {
						failures++
						continue
					}
					// What is below another failure may be in the air.
					for _, v := range d.volatile() {
						if within(path, v) {
							t.Errorf("record %d is acknowledged, and not on disk: %s", i, v)
						}
					}
					if i%7 == 6 && layout == layoutLines {
						if err := os.Rename(path, fmt.Sprint(path, ".", i)); err != nil {
							t.Fatal(err)
						}
					}
				}
				if want := map[bool]int{true: 1}[failing != ""]; failures != want {
					t.Errorf("%d failures, want %d", failures, want)
				}
			})
		}
	}
}

// within reports whether path is v, lies below it, or holds it.
func within(path, v string) bool {
	return strings.HasPrefix(path+"/", v+"/") || strings.HasPrefix(v, path+"/")
}

// movingDisk moves a file away just before the n-th sync of its data is done,
// as an outside rotation may.
type movingDisk struct {
	osDisk
	at int
}

func (d *movingDisk) OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error) {
	f, err := d.osDisk.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &movedFile{f, d, name}, nil
}

type movedFile struct {
	diskFile
	disk *movingDisk
	name string
}

func (f *movedFile) Sync() error {
	if f.disk.at--; f.disk.at >= 0 {
		if err := os.Rename(f.name, fmt.Sprint(f.name, ".", f.disk.at)); err != nil {
			return err
		}
	}
	return f.diskFile.Sync()
}

// TestLinesMovedWhileWritten holds that what is acknowledged is in the file that
// is at the path then: who moved the old one away may have read it already.
func TestLinesMovedWhileWritten(t *testing.T) {
	t.Parallel()
	for moves, ok := range map[int]bool{0: true, 1: true, maxMoves - 1: true, maxMoves: false} {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		l := newLines(path, &movingDisk{at: moves})
		l.configure(&Handler{Mode: Mode(defaultMode), Layout: layoutLines, logger: zap.NewNop()})
		err := l.add([]record{{data: []byte("1")}})
		if (err == nil) != ok {
			t.Errorf("moved %d times: got %v", moves, err)
		}
		if ok {
			mustHold(t, path, "1\n")
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFilesAppearWhole holds that no file has its name before its data is on
// disk, and that a failure leaves no temporary file.
func TestFilesAppearWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &renamingDisk{volatileDisk: newVolatileDisk(), t: t}
	s := newDirectory(dir, d)
	s.configure(&Handler{Mode: Mode(defaultMode), Layout: layoutFiles, logger: zap.NewNop()})
	if err := s.add([]record{{"a.json", []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	d.fault = syscall.EIO
	if err := s.add([]record{{"b.json", []byte("{}")}}); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "a.json" {
		t.Errorf("got %v, %v", entries, err)
	}
	if d.renamed != 1 {
		t.Errorf("%d files were renamed", d.renamed)
	}
}

// renamingDisk watches files get their names.
type renamingDisk struct {
	*volatileDisk
	t       *testing.T
	fault   error
	renamed int
}

func (d *renamingDisk) Rename(from, to string) error {
	if d.fault != nil {
		return d.fault
	}
	if !strings.HasPrefix(filepath.Base(from), ".") || d.data[from] {
		d.t.Errorf("%s gets its name before its data is on disk", filepath.Base(to))
	}
	d.renamed++
	return d.volatileDisk.Rename(from, to)
}

// shortDisk has room for half of the first write.
type shortDisk struct {
	osDisk
	full bool
}

func (d *shortDisk) OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error) {
	f, err := d.osDisk.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &shortFile{f, d}, nil
}

type shortFile struct {
	diskFile
	disk *shortDisk
}

func (f *shortFile) Write(p []byte) (int, error) {
	if !f.disk.full {
		return f.diskFile.Write(p)
	}
	f.disk.full = false
	n, _ := f.diskFile.Write(p[:len(p)/2+2])
	return n, syscall.ENOSPC
}

// TestLinesCutBack holds that a write that failed leaves nothing, not even the
// whole lines at its beginning, which belong to a delivery that was refused.
func TestLinesCutBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	d := new(shortDisk)
	l := newLines(path, d)
	l.configure(&Handler{Mode: Mode(defaultMode), Layout: layoutLines, logger: zap.NewNop()})
	mustAdd(t, l, "before")
	d.full = true
	if err := l.add([]record{{data: []byte("one")}, {data: []byte("two")}}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	mustHold(t, path, "before\n")
	mustAdd(t, l, "after")
	mustHold(t, path, "before\nafter\n")
	if err := l.close(); err != nil {
		t.Error(err)
	}
}
