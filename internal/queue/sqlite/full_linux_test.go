package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// smallDisk mounts a file system of a few MiB.
func smallDisk(t *testing.T, size int) (dir string) {
	t.Helper()
	need(t, os.Geteuid() == 0, "root, to mount file systems")
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		// A process that is just being started has a copy of each open file until it runs its program.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

// fill takes all room on a disk, and returns how to make room again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// thick returns an event that fills a disk fast.
func thick(identity string) queue.Record {
	r := record(identity, identity)
	r.Body = append(r.Body, make([]byte, 20000)...)
	return r
}

func isFullError(err error) bool {
	return errors.Is(err, queue.ErrFull)
}

// TestFullDisk fills a disk with events. What does not fit is refused and not kept; what
// was accepted can be delivered, and makes room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, minFree := range map[string]int64{"no space is left": 0, "space is left": 512 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, filepath.Join(smallDisk(t, 8<<20), "queue.db"))
			var accepted, refused []queue.Record
			for n := 0; len(refused) < 20; n++ {
				r := thick(fmt.Sprint(n))
				_, err := s.Accept(ctx, []queue.Record{r}, queue.Admission{Dedupe: time.Hour, MinFree: minFree})
				switch {
				case err == nil:
					accepted = append(accepted, r)
				case !isFullError(err):
					t.Fatalf("event %d: %v", n, err)
				default:
					refused = append(refused, r)
				}
			}
			t.Logf("%d accepted", len(accepted))
			check(t, s)
			if stats, err := statsOf(s); err != nil || stats.Pending != int64(len(accepted)) {
				t.Errorf("%d events are accepted, but %+v, %v", len(accepted), stats, err)
			}
			for _, r := range accepted {
				events := due(t, s, 1)
				if len(events) != 1 || events[0].Identity != r.Identity {
					t.Fatalf("leased %v, want %s", events, r.Identity)
				}
				settle(t, s, events[0], queue.Outcome{State: queue.Delivered})
			}
			expireAll(t, s)
			if err := s.checkpointNow(); err != nil {
				t.Error(err)
			}
			if duplicates := accept(t, s, refused[:3]...); duplicates != nil {
				t.Errorf("refused events are duplicates: %v", duplicates)
			}
			check(t, s)
		})
	}
}

// TestSettlingOnAFullDisk has others fill the disk: nothing is accepted, but settling goes
// on, and once there is room, the next event is accepted at once.
func TestSettlingOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 16<<20)
	s := openStore(t, filepath.Join(dir, "queue.db"))
	const total = 2000
	for n := 0; n < total; n += 100 {
		var records []queue.Record
		for i := range 100 {
			records = append(records, record(fmt.Sprint(n+i), fmt.Sprint((n+i)%500)))
		}
		accept(t, s, records...)
	}
	empty := fill(t, dir)
	accepting := func() error {
		_, err := s.Accept(ctx, []queue.Record{thick("late"), thick("later")}, queue.Admission{Dedupe: time.Hour})
		return err
	}
	settled := 0
	for settled < total {
		events := due(t, s, 50)
		if len(events) == 0 {
			t.Fatalf("after %d, nothing is due", settled)
		}
		for _, e := range events {
			settle(t, s, e, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "500"}})
			settled++
		}
		if err := accepting(); !isFullError(err) {
			t.Fatalf("accepting on a full disk: %v", err)
		}
	}
	if !s.reserve.gone() {
		t.Error("the reserve was not needed: this test shows nothing")
	}
	check(t, s)
	empty()
	if err := accepting(); err != nil {
		t.Errorf("accepting once there is room: %v", err)
	}
	if s.reserve.gone() {
		t.Error("there is no reserve again")
	}
	check(t, s)
}

// TestAnswersOnAFullDisk has others fill the disk, and the application fail with long
// answers: these must not take the room that settling needs.
func TestAnswersOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 16<<20)
	s := openStore(t, filepath.Join(dir, "queue.db"))
	const total = 1000
	accept(t, s, batch("e", total)...)
	fill(t, dir)
	failed := queue.Attempt{Ended: time.Now(), Status: 500, Error: "500", Answer: make([]byte, 1<<10)}
	settleAll := func(o queue.Outcome) {
		t.Helper()
		for settled := 0; settled < total; {
			events := due(t, s, 50)
			if len(events) == 0 {
				t.Fatalf("after %d, nothing is due", settled)
			}
			for _, e := range events {
				settle(t, s, e, o)
			}
			settled += len(events)
		}
	}
	for range 5 {
		settleAll(queue.Outcome{State: queue.Pending, Due: time.Now(), Attempt: failed})
	}
	settleAll(queue.Outcome{State: queue.Dead, Attempt: failed})
	check(t, s)
}

// TestOpenOnAFullDisk has others fill the disk while the queue is closed: what was set
// aside is enough to open it and to settle what waits.
func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 16<<20)
	path := filepath.Join(dir, "queue.db")
	s, err := Open(path, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Join(ctx, []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	const total = 100
	for n := range total {
		accept(t, s, record(fmt.Sprint(n), ""))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	empty := fill(t, dir)
	s = openStore(t, path)
	if err := s.Join(ctx, []queue.Consumer{{Name: "archive"}}); err != nil {
		t.Errorf("joining on a full disk: %v", err)
	}
	for _, e := range due(t, s, total) {
		settle(t, s, e, queue.Outcome{State: queue.Delivered})
	}
	late := []queue.Record{thick("late")}
	if _, err := s.Accept(ctx, late, queue.Admission{}); !isFullError(err) {
		t.Errorf("accepting on a full disk: %v", err)
	}
	empty()
	if _, err := s.Accept(ctx, late, queue.Admission{}); err != nil {
		t.Errorf("accepting once there is room: %v", err)
	}
	if stats, err := statsOf(s); err != nil || stats.Delivered != total || stats.Pending != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestFullByItsError has a file system be full that tells of free space, as btrfs can.
func TestFullByItsError(t *testing.T) {
	t.Parallel()
	err := translate(t.TempDir(), &os.PathError{Op: "truncate", Path: "queue.db-shm", Err: syscall.ENOSPC})
	if !isFullError(err) {
		t.Errorf("got %v", err)
	}
}
