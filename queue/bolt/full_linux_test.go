package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// smallDisk mounts a file system of a few MiB, with a file in it that takes space
// away.
func smallDisk(t *testing.T, size, taken int) (dir, filler string) {
	t.Helper()
	need(t, os.Geteuid() == 0, "root, to mount file systems")
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	filler = filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, taken), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, filler
}

// TestFullDisk fills a disk. What does not fit is refused and not kept; what was
// accepted can be delivered, and makes room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, minFree := range map[string]int64{"no space is left": 0, "space is left": 512 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, filler := smallDisk(t, 4<<20, 1<<20)
			synctest.Test(t, func(t *testing.T) {
				s, err := open(filepath.Join(dir, "queue.db"))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}()
				fillAndDrain(t, s, minFree)
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * pause)
				for n := range 100 {
					accept(t, s, thick(fmt.Sprintf("later %d", n)))
				}
				check(t, s)
			})
		})
	}
}

func fillAndDrain(t *testing.T, s *Store, minFree int64) {
	t.Helper()
	tells := minFree > 0
	var accepted, refused []queue.Record
	for n := 0; len(refused) < 20; n++ {
		r := thick(fmt.Sprint(n))
		duplicates, err := s.Accept(ctx, []queue.Record{r}, queue.Admission{Dedupe: time.Hour, MinFree: minFree})
		switch {
		case err == nil && duplicates == nil:
			accepted = append(accepted, r)
		case err == nil:
			t.Errorf("event %d is a duplicate", n)
		case !errors.Is(err, queue.ErrFull) && !errors.Is(err, syscall.ENOSPC):
			t.Errorf("event %d: %v", n, err)
		case tells && !errors.Is(err, queue.ErrFull):
			t.Errorf("event %d: %v, want that the queue is full", n, err)
		default:
			refused = append(refused, r)
			time.Sleep(2 * pause)
		}
	}
	t.Logf("%d accepted", len(accepted))
	check(t, s)
	if stats, err := s.Stats(ctx); err != nil || stats.Pending != int64(len(accepted)) {
		t.Errorf("%d events are accepted, but %+v, %v", len(accepted), stats, err)
	}
	failed := 0
	for _, r := range accepted {
		e := expectDue(t, s, 1, r.Identity)[0]
		for {
			err := s.Settle(ctx, e, queue.Outcome{State: queue.Delivered})
			if err == nil {
				break
			}
			if failed++; tells || failed > 100 {
				t.Fatalf("settling: %v", err)
			}
			time.Sleep(2 * pause)
		}
	}
	t.Logf("settling failed %d times", failed)
	check(t, s)
	for more := true; more; {
		var err error
		if more, err = s.Expire(ctx, queue.Retention{Dedupe: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * pause)
	if duplicates := accept(t, s, refused[:3]...); duplicates != nil {
		t.Errorf("refused events are duplicates: %v", duplicates)
	}
	check(t, s)
}

// TestRoomAgainIsUsedAtOnce fills a disk while a journal is empty, so that the
// next commit fails wherever this runs. Once there is room again, nothing waits
// for the end of the pause, which the clock of this test never reaches.
func TestRoomAgainIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	dir, filler := smallDisk(t, 4<<20, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "queue.db")
		s, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		accept(t, s, record("a", ""), record("b", ""))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		core, lines := observer.New(zap.ErrorLevel)
		logger := zap.New(core)
		syscall.ForkLock.RLock() // see open
		s, err = Open(path, func() *zap.Logger { return logger })
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := os.WriteFile(filler+"2", make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		events := due(t, s, 2)
		for range 3 {
			if err := s.Settle(ctx, events[0], queue.Outcome{State: queue.Delivered}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("settling on a full disk: %v", err)
			}
		}
		if n := lines.Len(); n != 1 {
			t.Errorf("the disk was asked %d times within the pause, want once", n)
		}
		if err := errors.Join(os.Remove(filler), os.Remove(filler+"2")); err != nil {
			t.Fatal(err)
		}
		accept(t, s, record("c", ""))
		settleAll(t, s, events, queue.Outcome{State: queue.Delivered})
		check(t, s)
	})
}
