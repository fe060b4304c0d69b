package file

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/piece"
)

// pieceOf makes a piece of a file.
func pieceOf(t *testing.T, path string, at time.Time) string {
	t.Helper()
	name := piece.Name(path, at)
	if err := os.WriteFile(name, []byte("erased\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// pause waits for the next millisecond: names have no finer times.
func pause() {
	for began := time.Now().UnixMilli(); time.Now().UnixMilli() == began; runtime.Gosched() {
	}
}

// TestLinesRollKeepWithPieces makes ten pieces of a file: they take the place of no rolled
// file, and go with the file that would have had their lines.
func TestLinesRollKeepWithPieces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := newTestLines(t, path, func(h *Handler) { h.Roll = Roll{Size: 20, Keep: 2} })
	for i := range 7 {
		mustAdd(t, l, fmt.Sprintf("event number %d", i))
		if i == 2 { // after two rolls
			pause() // a piece of the same millisecond would be that of the file before
			for range 10 {
				pieceOf(t, path, time.Now())
				pause()
			}
		}
		pause()
		rolled, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events-2*.jsonl"))
		if err != nil || len(rolled) != min(i, 2) {
			t.Errorf("after %d rolls %d files are kept, %v", i, len(rolled), err)
		}
		pieces, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events.2*-forget.jsonl"))
		if want := i >= 2 && i < 5; err != nil || len(pieces) > 0 != want {
			t.Errorf("after %d rolls there are the pieces %q, want some: %t; %v", i, pieces, want, err)
		}
	}
}

func TestLinesRollKeepForWithPieces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	keepFor := 30 * time.Hour // these are two days
	l := newTestLines(t, path, func(h *Handler) { h.Roll = Roll{Size: 20, KeepFor: caddy.Duration(keepFor)} })
	now := time.Now()
	old, young := pieceOf(t, path, now.Add(-49*time.Hour)), pieceOf(t, path, now.Add(-47*time.Hour))
	mustAdd(t, l, "event number 1")
	mustAdd(t, l, "event number 2")
	if _, err := os.Stat(young); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the old piece is still there")
	}
}
