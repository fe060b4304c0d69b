package e2e

import (
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

var (
	crashRounds = flag.Int("crash.rounds", 0, "how often each crash test crashes; 0: 10 or 20 times, on a busy machine and with the race detector fewer")
	crashSeed   = flag.Uint64("crash.seed", uint64(time.Now().UnixNano()), "seed of the crash tests")
)

// crashes counts the rounds of a crash test: the fewest are each kind twice. The race
// detector gets each kind once: it looks at the same code in each round, and what is lost
// shows without it too.
func crashes(rounds int) iter.Seq[int] {
	switch {
	case *crashRounds > 0:
		return harness.Rounds(*crashRounds, *crashRounds)
	case harness.RaceEnabled:
		return harness.Rounds(min(rounds, 4), 4)
	}
	return harness.Rounds(rounds, 8)
}

// crashSenders is how many deliveries are under way at a time.
const crashSenders = 32

// crash is a way to end Caddy, and the directory in which that must leave all
// that was acknowledged.
type crash interface {
	dir() string
	crash(*testing.T, *rand.Rand, *harness.Caddy, *harness.Ledger)
	recover(*testing.T)
}

// kill kills the process.
type kill struct{ directory string }

func (k kill) dir() string { return k.directory }

func (k kill) crash(t *testing.T, _ *rand.Rand, caddy *harness.Caddy, _ *harness.Ledger) {
	caddy.Kill(t)
}

func (k kill) recover(*testing.T) {}

// powerCut cuts the power of the disk and of the processor.
type powerCut struct{ *harness.Volume }

func (p powerCut) dir() string { return p.Dir }

func (p powerCut) crash(t *testing.T, _ *rand.Rand, caddy *harness.Caddy, ledger *harness.Ledger) {
	caddy.Freeze(t)
	p.CutPower(t, ledger)
	caddy.Kill(t)
}

func (p powerCut) recover(t *testing.T) { p.RestorePower(t) }

// TestPowerCutCountsNothingThatIsReadAfterIt cuts the power below writers that
// live on, as no Caddy of the crash tests does. What they read of their syncs
// before that is on disk, and nothing of what they read after it counts.
func TestPowerCutCountsNothingThatIsReadAfterIt(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	volume := harness.NewVolume(t, harness.Ext4)
	const writers = 8
	var (
		ledger  = harness.NewLedger()
		synced  [writers]int // bytes
		files   [writers]*os.File
		running sync.WaitGroup
	)
	enough := ledger.After(200)
	path := func(i int) string { return filepath.Join(volume.Dir, fmt.Sprint(i)) }
	for i := range writers {
		f, err := os.Create(path(i))
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	for i, f := range files {
		running.Go(func() {
			for n := 1; ; n++ {
				if _, err := f.WriteString("x"); err != nil {
					return
				}
				if err := f.Sync(); err != nil {
					return
				}
				if ledger.Add(fmt.Sprint(i, n)) {
					synced[i] = n
				}
			}
		})
	}
	harness.WaitClosed(t, "enough is synced", enough)
	volume.CutPower(t, ledger)
	if ledger.Add("after the cut") {
		t.Error("something was counted after the cut")
	}
	running.Wait() // the power is off for all of them
	for _, f := range files {
		_ = f.Close()
	}
	volume.RestorePower(t)
	for i, want := range synced {
		text, err := os.ReadFile(path(i))
		if err != nil || len(text) < want {
			t.Errorf("%d of %d bytes that were synced before the cut are there: %v", len(text), want, err)
		}
	}
	ledger.Reopen()
	if !ledger.Add("after the boot") {
		t.Error("nothing counts after the power is back")
	}
}
