package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestQueueSurvivesFullDisks fills the disk under load, and kills Caddy while it is full,
// or some time after there is room again.
func TestQueueSurvivesFullDisks(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	crashQueue(t, fullDisk{harness.NewVolume(t, harness.Ext4)})
}

// TestQueueSurvivesBrokenDisks breaks the disk below a Caddy that goes on, and then ends:
// what it acknowledges then counts as well.
func TestQueueSurvivesBrokenDisks(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	crashQueue(t, brokenDisk{harness.NewVolume(t, harness.Ext4)})
}

// fullDisk fills the disk.
type fullDisk struct{ *harness.Volume }

func (f fullDisk) dir() string { return f.Dir }

func (f fullDisk) crash(t *testing.T, rng *rand.Rand, caddy *harness.Caddy, ledger *harness.Ledger) {
	f.Fill(t, 0)
	writeBack(t, caddy.Queue+"-shm")
	waitRefused(t, ledger, 1+rng.IntN(200))
	if rng.IntN(3) > 0 {
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
		writeBack(t, caddy.Queue+"-shm")
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

// writeBack has the system write a file to the disk, as it does after some seconds. Of
// one that is mapped, it asks the file system again before it lets a page be changed.
func writeBack(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}
