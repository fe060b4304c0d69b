package sqlite

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// migrationVariable names the file of a queue that a process of its own opens, which is killed.
const migrationVariable = "SQLITE_MIGRATION"

// TestMigrationProcess opens a queue, and closes it.
func TestMigrationProcess(t *testing.T) {
	path := os.Getenv(migrationVariable)
	if path == "" {
		t.Skip("this is a part of TestMigrationKilled")
	}
	runtime.LockOSThread() // strace counts the calls of each thread
	s, err := Open(path, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// migrateIn opens a queue in a process of its own, below strace with an injection, and returns
// the trace.
func migrateIn(t *testing.T, path, injection string) (trace string) {
	t.Helper()
	log := filepath.Join(filepath.Dir(path), "trace")
	args := []string{"-f", "-s0", "-y", "-o", log, "-e", "trace=pwrite64,fdatasync,fsync,ftruncate,fallocate,renameat,unlinkat,linkat", "-e", "signal=none"}
	for _, suffix := range []string{"", walSuffix, shmSuffix, migratingSuffix, migratingSuffix + "-journal", reserveSuffix} {
		args = append(args, "-P", path+suffix)
	}
	args = append(args, "-P", filepath.Dir(path))
	if injection != "" {
		args = append(args, "--inject="+injection)
	}
	cmd := exec.Command("strace", append(args, os.Args[0], "-test.run=^TestMigrationProcess$")...)
	cmd.Env = append(os.Environ(), migrationVariable+"="+path, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; injection == "" && err != nil || injection != "" && !killed {
		t.Errorf("injected %q: %v\n%s", injection, err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMigrationKilled kills the process at calls of the system while it migrates what a killed
// one has left. The next one opens it: all is there, and what was kept is whole.
func TestMigrationKilled(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("strace")
	need(t, err == nil, "strace")
	fresh := func(t *testing.T) (path string) {
		path = filepath.Join(t.TempDir(), "queue.db")
		unpackLayout(t, 1, "-crashed", path)
		return path
	}
	clean := migrateIn(t, fresh(t), "")
	for _, call := range []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "renameat", "unlinkat", "linkat"} {
		total := strings.Count(clean, " "+call+"(")
		if total == 0 {
			t.Errorf("there is no %s", call)
			continue
		}
		for _, n := range points(total) {
			injection := fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n)
			t.Run(injection, func(t *testing.T) {
				t.Parallel()
				path := fresh(t)
				migrateIn(t, path, injection)
				s, err := Open(path, zap.NewNop)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if got, want := storedIn(t, s), readStored(t, 1); !slices.Equal(got, want) {
					t.Errorf("the queue has\n%+v, want\n%+v", got, want)
				}
				check(t, s)
				kept, err := keptFiles(path)
				if err != nil || len(kept) != 1 {
					t.Fatalf("kept %v, %v", kept, err)
				}
				mustBeKept(t, kept[0].path, 1, nil)
				if _, err := os.Stat(path + migratingSuffix); err == nil {
					t.Error("an unfinished copy is left")
				}
			})
		}
	}
}

// TestMigrationOnFullDisk refuses a queue for whose copy there is no room, and leaves it to the
// program that made it.
func TestMigrationOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 16<<20)
	path := filepath.Join(dir, "queue.db")
	unpackLayout(t, 1, "", path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	empty := fill(t, dir)
	_, err = Open(path, zap.NewNop)
	if !errors.Is(err, queue.ErrMigration) || !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "Make room") {
		t.Errorf("opened: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	if kept, err := keptFiles(path); err != nil || len(kept) != 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
	empty()
	s := openStore(t, path)
	if got, want := storedIn(t, s), readStored(t, 1); !slices.Equal(got, want) {
		t.Errorf("the queue has\n%+v, want\n%+v", got, want)
	}
	if _, err := s.Expire(ctx, queue.Retention{Dead: time.Hour}); err != nil {
		t.Error(err)
	}
}
