package piece

import (
	"path/filepath"
	"testing"
	"time"
)

func TestPiece(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 5e6, time.UTC)
	for path, want := range map[string]string{
		"/d/events.jsonl": "/d/events.2026-11-30T12-00-00.005-forget.jsonl",
		"/d/a.b.jsonl":    "/d/a.b.2026-11-30T12-00-00.005-forget.jsonl",
		"/d/events":       "/d/events.2026-11-30T12-00-00.005-forget",
	} {
		got := Name(path, at.Local())
		if got != want {
			t.Errorf("the piece of %s is %s, want %s", path, got, want)
		}
		if made, ok := Time(filepath.Base(got), path); !ok || !made.Equal(at) {
			t.Errorf("%s was made %s, %t", got, made, ok)
		}
	}
	for _, name := range []string{"events.jsonl", "events-2026-11-30T12-00-00.005-size.jsonl", "events.x-forget.jsonl",
		"event.2026-11-30T12-00-00.005-forget.jsonl", "events.2026-11-30T12-00-00.005-forget.jsonl.gz"} {
		if _, ok := Time(name, "/d/events.jsonl"); ok {
			t.Errorf("%s is a piece", name)
		}
	}
}
