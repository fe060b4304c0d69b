package file

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"
)

func newTestLines(t testing.TB, path string, adjust func(*Handler)) *lines {
	t.Helper()
	h := &Handler{Mode: Mode(defaultMode), Layout: layoutLines, logger: zap.NewNop()}
	if adjust != nil {
		adjust(h)
	}
	l := newLines(path, osDisk{})
	l.configure(h)
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mustAdd(t testing.TB, s sink, data string) {
	t.Helper()
	if err := s.add([]record{{data: []byte(data)}}); err != nil {
		t.Fatal(err)
	}
}

func mustHold(t testing.TB, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}

func TestLinesFollowOutsideRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := newTestLines(t, path, nil)
	mustAdd(t, l, "1")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, "2")
	mustHold(t, path+".1", "1\n")
	mustHold(t, path, "2\n")
	// A rotation that makes the new file itself.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, "3")
	mustHold(t, path, "3\n")
	// copytruncate
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, "4")
	mustHold(t, path, "4\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, "5")
	mustHold(t, path, "5\n")
}

func TestLinesCloseOffATornLine(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		"":               "new\n",
		"whole\n":        "whole\nnew\n",
		"whole\n{\"torn": "whole\n{\"torn\nnew\n",
		"torn":           "torn\nnew\n",
		"\n":             "\nnew\n",
	} {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		l := newTestLines(t, path, nil)
		mustAdd(t, l, "new")
		mustAdd(t, l, "newer")
		mustHold(t, path, want+"newer\n")
	}
}

func TestLinesMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{0o600, 0o666} {
		dir := filepath.Join(t.TempDir(), "new")
		path := filepath.Join(dir, "events.jsonl")
		mustAdd(t, newTestLines(t, path, func(h *Handler) { h.Mode = mode }), "1")
		info, err := os.Stat(path)
		if err != nil || os.PathSeparator == '/' && info.Mode().Perm() != os.FileMode(mode) {
			t.Errorf("got %v, %v; want %v", info.Mode(), err, os.FileMode(mode))
		}
		info, err = os.Stat(dir)
		if want := map[Mode]os.FileMode{0o600: 0o700, 0o666: 0o777}[mode]; err != nil || os.PathSeparator == '/' && info.Mode().Perm() != want {
			t.Errorf("directory: got %v, %v; want %v", info.Mode(), err, want)
		}
	}
}

func TestLinesRefuseWhatIsNoFile(t *testing.T) {
	t.Parallel()
	if err := newTestLines(t, os.DevNull, nil).add([]record{{data: []byte("1")}}); err == nil {
		t.Error("the null device took an event")
	}
}

func TestRollDue(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time {
		parsed, err := time.Parse(time.DateTime, clock)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	day := "2026-11-23 "
	for _, tc := range []struct {
		name       string
		roll       Roll
		size, more int64
		wrote, now string
		want       string
	}{
		{"never", Roll{}, 1 << 40, 1 << 40, "01:00:00", "23:00:00", ""},
		{"fits", Roll{Size: 100}, 90, 10, "01:00:00", "01:00:00", ""},
		{"too large", Roll{Size: 100}, 90, 11, "01:00:00", "01:00:00", "size"},
		{"empty file", Roll{Size: 100, Interval: 1, At: []string{"00:30"}}, 0, 1000, "00:00:00", "01:00:00", ""},
		{"same interval", Roll{Interval: 3600e9}, 1, 1, "01:00:00", "01:59:59", ""},
		{"next interval", Roll{Interval: 3600e9}, 1, 1, "01:59:59", "02:00:00", "time"},
		{"before the hour", Roll{At: []string{"12:00"}}, 1, 1, "11:00:00", "11:59:59", ""},
		{"over the hour", Roll{At: []string{"12:00"}}, 1, 1, "11:00:00", "12:00:00", "time"},
		{"after the hour", Roll{At: []string{"12:00"}}, 1, 1, "12:00:00", "13:00:00", ""},
		{"over the second hour", Roll{At: []string{"12:00", "18:00"}}, 1, 1, "13:00:00", "19:00:00", "time"},
	} {
		if got := tc.roll.due(tc.size, tc.more, at(day+tc.wrote), at(day+tc.now)); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	midnight := Roll{At: []string{"00:00"}}
	if got := midnight.due(1, 1, at("2026-11-22 23:59:59"), at("2026-11-23 00:00:00")); got != "time" {
		t.Errorf("over midnight: got %q", got)
	}
	if got := midnight.due(1, 1, at("2026-11-20 10:00:00"), at("2026-11-23 10:00:00")); got != "time" {
		t.Errorf("after days without events: got %q", got)
	}
}

func TestLinesRoll(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"", "none", "gzip", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "events.jsonl")
			neighbour := filepath.Join(filepath.Dir(path), "events-of-others.jsonl")
			if err := os.WriteFile(neighbour, []byte("mine\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			l := newTestLines(t, path, func(h *Handler) {
				h.Roll = Roll{Size: 20, Compression: compression}
			})
			const n = 10
			for i := range n {
				mustAdd(t, l, fmt.Sprintf("event number %d", i))
			}
			// Compression goes on in the background.
			suffix := compressors[compression].suffix
			for left := n; compression != "" && compression != "none" && left > 0; runtime.Gosched() {
				if _, running := compressing.Load(path); running {
					continue
				}
				if err := compressors[compression].compressRolled(path); err != nil {
					t.Fatal(err)
				}
				plain, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events-2*.jsonl"))
				if err != nil {
					t.Fatal(err)
				}
				left = len(plain)
			}
			mustHold(t, path, fmt.Sprintf("event number %d\n", n-1))
			mustHold(t, neighbour, "mine\n")
			rolled, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events-2*.jsonl"+suffix))
			if err != nil || len(rolled) != n-1 {
				t.Errorf("got %d rolled files, %v; want %d", len(rolled), err, n-1)
			}
		})
	}
}

func TestLinesRollKeep(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := newTestLines(t, path, func(h *Handler) { h.Roll = Roll{Size: 20, Keep: 2} })
	for i := range 10 {
		mustAdd(t, l, fmt.Sprintf("event number %d", i))
		// Files that are rolled within one millisecond count as one.
		for began := time.Now().UnixMilli(); time.Now().UnixMilli() == began; runtime.Gosched() {
		}
	}
	rolled, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events-2*.jsonl"))
	if err != nil || len(rolled) != 2 {
		t.Errorf("kept %d rolled files, %v; want 2", len(rolled), err)
	}
}

// syncedDirs is a disk that remembers which directories were synced.
type syncedDirs struct {
	osDisk
	dirs map[string]bool
}

func (d *syncedDirs) SyncDir(name string) error {
	d.dirs[name] = true
	return d.osDisk.SyncDir(name)
}

// TestLinesBehindASymbolicLink has the file, and the rolled ones, where the link leads to.
func TestLinesBehindASymbolicLink(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path, link := filepath.Join(dir, "events.jsonl"), filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err) // on Windows, not everybody may make one
	}
	l := newTestLines(t, link, func(h *Handler) { h.Roll = Roll{Size: 20} })
	disk := &syncedDirs{dirs: make(map[string]bool)}
	l.disk = disk
	mustAdd(t, l, "event number 1")
	if !disk.dirs[dir] {
		t.Error("the entry of the file is not on disk")
	}
	mustAdd(t, l, "event number 2")
	mustHold(t, path, "event number 2\n")
	if rolled, err := filepath.Glob(filepath.Join(dir, "events-2*.jsonl")); err != nil || len(rolled) != 1 {
		t.Errorf("rolled %q, %v", rolled, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}
