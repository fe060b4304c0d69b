package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// opened returns how often this process has a file open.
func opened(t *testing.T, path string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && name == path {
			n++
		}
	}
	return n
}

// TestWaitingForACompactedFile waits for the lock of a file, in whose place its
// owner puts a compacted one.
func TestWaitingForACompactedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, compacted := filepath.Join(dir, "queue.db"), filepath.Join(dir, "queue.db.compact")
	for _, p := range []string{path, compacted} {
		if err := create(p); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := openLocked(path)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan *bbolt.DB)
	go func() {
		db, err := openLocked(path)
		for errors.Is(err, bbolterrors.ErrTimeout) { // this machine is busy
			db, err = openLocked(path)
		}
		if err != nil {
			t.Error(err)
		}
		waiting <- db
	}()
	for deadline := time.Now().Add(time.Minute); opened(t, path) < 2; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for the file")
		}
	}
	if err := errors.Join(os.Rename(compacted, path), owner.Close()); err != nil {
		t.Fatal(err)
	}
	db := <-waiting
	if now, old := opened(t, path), opened(t, path+" (deleted)"); now != 1 || old != 0 {
		t.Errorf("the compacted file is open %d times, the old one %d times", now, old)
	}
	if db != nil {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
