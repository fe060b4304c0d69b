package file

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
)

// countingDisk counts the files that are open.
type countingDisk struct {
	osDisk
	open, most atomic.Int64
}

func (d *countingDisk) OpenFile(name string, flag int, mode os.FileMode) (diskFile, error) {
	f, err := d.osDisk.OpenFile(name, flag, mode)
	if err == nil {
		now := d.open.Add(1)
		for most := d.most.Load(); now > most && !d.most.CompareAndSwap(most, now); most = d.most.Load() {
		}
		f = &countedFile{f, d}
	}
	return f, err
}

type countedFile struct {
	diskFile
	disk *countingDisk
}

func (f *countedFile) Close() error {
	f.disk.open.Add(-1)
	return f.diskFile.Close()
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	const limit, paths, senders, each = 4, 20, 16, 30
	d, dir := new(countingDisk), t.TempDir()
	p := newPool(d, limit)
	o := &Handler{Mode: Mode(defaultMode), Layout: layoutLines, logger: zap.NewNop()}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				sink := p.acquire(filepath.Join(dir, fmt.Sprint((s*7+i)%paths)), o)
				if err := sink.add([]record{{data: []byte("x")}}); err != nil {
					t.Error(err)
				}
				p.release(sink, o.logger)
			}
		})
	}
	wg.Wait()
	if most := d.most.Load(); most > limit || most < 2 {
		t.Errorf("%d files were open at a time, the limit is %d", most, limit)
	}
	total := 0
	for i := range paths {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		total += len(text) / len("x\n")
	}
	if total != senders*each {
		t.Errorf("got %d lines, want %d", total, senders*each)
	}
	late := p.acquire(filepath.Join(dir, "late"), o)
	if err := p.Destruct(); err != nil {
		t.Fatal(err)
	}
	// A request of an old config may still write.
	mustAdd(t, late, "late")
	p.release(late, o.logger)
	if open := d.open.Load(); open != 0 || len(p.sinks) != 0 {
		t.Errorf("%d files are still open", open)
	}
}

// TestPoolClosesTheLeastRecentlyUsed holds that the file in use most is not the
// one that is closed.
func TestPoolClosesTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	p := newPool(osDisk{}, 2)
	o := &Handler{Mode: Mode(defaultMode), Layout: layoutLines, logger: zap.NewNop()}
	dir := t.TempDir()
	use := func(name string) { p.release(p.acquire(filepath.Join(dir, name), o), o.logger) }
	for _, name := range []string{"a", "b", "a", "c"} {
		use(name)
	}
	for name, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, got := p.sinks[layoutLines+":"+filepath.Join(dir, name)]; got != want {
			t.Errorf("%s is kept: %t, want %t", name, got, want)
		}
	}
}
