package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestPowerCutCountsNothingThatIsReadAfterIt cuts the power below writers that
// live on, as no gateway of the crash tests does. What they read of their syncs
// before that is on disk, and nothing of what they read after it counts.
func TestPowerCutCountsNothingThatIsReadAfterIt(t *testing.T) {
	needRoot(t)
	t.Parallel()
	v := newVolume(t)
	const writers, enough = 8, 200
	var (
		acknowledged tally
		total        int
		lines        [writers]int // that were synced
		files        [writers]*os.File
		reached      = make(chan struct{})
		running      sync.WaitGroup
	)
	path := func(i int) string { return filepath.Join(v.dir, fmt.Sprint(i)) }
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
				acknowledged.add(func() {
					lines[i] = n
					if total++; total == enough {
						close(reached)
					}
				})
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		t.Error("too little is synced")
	}
	v.cutPower(t, &acknowledged)
	acknowledged.add(func() { t.Error("something was counted after the cut") })
	running.Wait() // the power is off for all of them
	for _, f := range files {
		_ = f.Close()
	}
	v.restorePower(t)
	for i, want := range lines {
		text, err := os.ReadFile(path(i))
		if err != nil || len(text) < want {
			t.Errorf("%d of %d bytes that were synced before the cut are there: %v", len(text), want, err)
		}
	}
	acknowledged.reopen()
	counted := false
	acknowledged.add(func() { counted = true })
	if !counted {
		t.Error("nothing counts after the power is back")
	}
}
