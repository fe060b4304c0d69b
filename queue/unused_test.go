package queue

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func newUnused() (*unusedStores, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return &unusedStores{logger: func() *zap.Logger { return zap.New(core) }}, logs
}

// TestEventsLeftBehindAreToldAgainAndAgain: one line at the reload is overlooked,
// and Meta sends nothing of it again.
func TestEventsLeftBehindAreToldAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, logs := newUnused()
		u.add("a store", 17)
		u.add("a store", 17) // by another config that failed to start, say
		if logs.Len() != 1 {
			t.Fatalf("%d lines at once, want one", logs.Len())
		}
		e := logs.All()[0]
		if fields := e.ContextMap(); e.Level != zap.WarnLevel || fields["store"] != "a store" || fields["pending"] != int64(17) {
			t.Errorf("%s: %v", e.Level, fields)
		}
		for _, tc := range []struct {
			after time.Duration
			lines int
		}{{remindFirst + time.Second, 2}, {2 * remindFirst, 3}, {24 * time.Hour, 3 + 25}} {
			time.Sleep(tc.after)
			synctest.Wait()
			if logs.Len() != tc.lines {
				t.Errorf("%d lines, want %d", logs.Len(), tc.lines)
			}
		}
		u.remove("a store")
		before := logs.Len()
		time.Sleep(24 * time.Hour)
		if logs.Len() != before || u.has("a store") {
			t.Error("the store is used again, and warned of")
		}
		u.add("a store", 3)
		if logs.Len() != before+1 {
			t.Error("the store was left again, and not warned of")
		}
		u.remove("a store")
	})
}

func TestRemovedFileIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		u, logs := newUnused()
		u.add(path, 17)
		time.Sleep(remindFirst + time.Second)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if logs.Len() != 2 || u.has(path) {
			t.Errorf("%d lines", logs.Len())
		}
	})
}

// TestStoreLeftByItsLastQueueIsKnown follows a store through configs.
func TestStoreLeftByItsLastQueueIsKnown(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	run := func() *stubConfig {
		c := newStubConfig(t)
		c.mustHandler(t, s)
		c.start(t)
		return c
	}
	first := run()
	if !uses(first.app(t), s.key) {
		t.Error("the store that a queue uses is not known")
	}
	s.hold(2)
	second := run()
	first.unload()
	if unused.has(s.key) {
		t.Error("a store is warned of that the new config uses")
	}
	second.unload()
	if !unused.has(s.key) {
		t.Error("a store with pending events is not warned of")
	}
	if other := newStubConfig(t); !uses(other.app(t), s.key) {
		t.Error("a store that is warned of would be warned of a second time")
	}
	third := run()
	if unused.has(s.key) {
		t.Error("a store is warned of that is used again")
	}
	s.hold(0)
	third.unload()
	if other := newStubConfig(t); unused.has(s.key) || uses(other.app(t), s.key) {
		t.Error("an empty store is warned of")
	}
}
