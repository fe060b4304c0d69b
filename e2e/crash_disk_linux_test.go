package e2e

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueSurvivesFullDisks fills the disk under load, and kills Caddy while it is full,
// or some time after there is room again. A full btrfs fails even where a file is mapped
// into memory, and changed.
func TestQueueSurvivesFullDisks(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *harness.Volume) { crashQueue(t, fullDisk{v}, 10) }, harness.Ext4, harness.Btrfs)
}

// TestQueueSurvivesBrokenDisks breaks the disk below a Caddy that goes on, and then ends:
// what it acknowledges then counts as well. A broken xfs fails as a full btrfs does.
func TestQueueSurvivesBrokenDisks(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *harness.Volume) { crashQueue(t, brokenDisk{v}, 10) }, harness.Ext4, harness.XFS)
}

// onVolumes runs a test on each of some file systems, and with the race detector on the
// last: Caddy does the same on all of them.
func onVolumes(t *testing.T, test func(*testing.T, *harness.Volume), systems ...harness.FileSystem) {
	harness.NeedRoot(t)
	t.Parallel()
	for i, fs := range systems {
		t.Run(fs.Name, func(t *testing.T) {
			if harness.RaceEnabled && i < len(systems)-1 {
				t.Skip("skipped: this file system is tested without the race detector")
			}
			t.Parallel()
			test(t, harness.NewVolume(t, fs))
		})
	}
}

// fullDisk fills the disk.
type fullDisk struct{ *harness.Volume }

func (f fullDisk) dir() string { return f.Dir }

func (f fullDisk) crash(t *testing.T, rng *rand.Rand, caddy *harness.Caddy, ledger *harness.Ledger) {
	f.Fill(t, 0)
	writeBack(t, caddy.Queue)
	held := false
	if n := 1 + rng.IntN(200); f.Name == harness.Btrfs.Name {
		held = waitRefusedOrHeld(t, ledger, n)
	} else {
		waitRefused(t, ledger, n)
	}
	if !held && rng.IntN(3) > 0 {
		f.MakeRoom(t)
		harness.WaitClosed(t, "deliveries are acknowledged again", ledger.After(1+rng.IntN(200)))
	}
	caddy.Kill(t)
}

func (f fullDisk) recover(t *testing.T) { f.MakeRoom(t) }

// brokenDisk has every operation fail.
type brokenDisk struct{ *harness.Volume }

func (b brokenDisk) dir() string { return b.Dir }

func (b brokenDisk) crash(t *testing.T, rng *rand.Rand, caddy *harness.Caddy, ledger *harness.Ledger) {
	caddy.FreezeBetweenCalls(t) // a sync under way would lie
	if rng.IntN(2) == 0 {
		writeBack(t, caddy.Queue)
	}
	b.Fail(t)
	caddy.Thaw(t)
	waitRefused(t, ledger, 1+rng.IntN(200))
	if rng.IntN(4) == 0 {
		caddy.Stop()
	} else {
		caddy.Kill(t)
	}
}

func (b brokenDisk) recover(t *testing.T) { b.RestorePower(t) }

// waitRefused returns when n more deliveries were refused.
func waitRefused(t *testing.T, ledger *harness.Ledger, n int) {
	t.Helper()
	_, before := ledger.Count()
	harness.Wait(t, "deliveries are refused", func() bool {
		_, refused := ledger.Count()
		return refused >= before+n
	})
}

// waitRefusedOrHeld is waitRefused, but also returns when nothing was answered for long: a full
// btrfs may let a change of a page that is shared as memory wait for minutes, and the whole
// program with it, as Go stops all goroutines to collect garbage. That is as good as a refusal,
// and it can only be killed.
func waitRefusedOrHeld(t *testing.T, ledger *harness.Ledger, n int) (held bool) {
	t.Helper()
	_, before := ledger.Count()
	answered, since := 0, time.Now()
	harness.Wait(t, "deliveries are refused", func() bool {
		acknowledged, refused := ledger.Count()
		if acknowledged+refused != answered {
			answered, since = acknowledged+refused, time.Now()
		}
		held = time.Since(since) > 30*time.Second
		return refused >= before+n || held
	})
	if held {
		t.Log("nothing was answered for 30 seconds: the full disk holds Caddy")
	}
	return held
}

// writeBack has the system write the file that a queue shares as memory to the disk, as it
// does after some seconds: before a page is changed again, it asks the file system. A full
// disk may not even do that.
func writeBack(t *testing.T, queue string) {
	t.Helper()
	f, err := os.Open(queue + "-shm")
	if errors.Is(err, fs.ErrNotExist) {
		return // it is just opened again
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}
