package command

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

func TestQueueCheck(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(10)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "check").want(t, 0, "The file is sound.", "")

	s.stores[0].Store = &faulty{Store: store, check: errors.New("page 7 is lost")}
	s.run(t, "check").want(t, 3, "", "the file is damaged: page 7 is lost")
	r := s.run(t, "check", "--json")
	if got := decode[checkedQueue](t, r); r.status != 3 || got.Sound || got.Damage != "page 7 is lost" || got.Error == nil {
		t.Errorf("%+v", r)
	}
	if got := decode[outcome](t, s.run(t, "compact", "--json")); got.Error == nil {
		t.Error("compact failed and did not say so")
	}

	closeQueue(t, store)
	runQueue(t, "check", "--file", path).want(t, 0, "The file is sound.", "")
	if got := decode[checkedQueue](t, runQueue(t, "check", "--file", path, "--json")); !got.Sound {
		t.Errorf("%+v", got)
	}
}

func TestQueueCheckOfADamagedFile(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(10)...)
	closeQueue(t, store)
	db, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Exec("DELETE FROM delivery"), db.Close()); err != nil {
		t.Fatal(err)
	}
	runQueue(t, "check", "--file", path).want(t, 3, "", "is damaged: an event has no delivery: 1")
}

// TestQueueCheckOfACopyWithoutItsLog has what the queue accepted last nowhere.
func TestQueueCheckOfACopyWithoutItsLog(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(1)...)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := writeFile(t, "copy.db", string(content))
	for command, status := range map[string]int{"check": 3, "status": 2} {
		r := runQueue(t, command, "--file", copied)
		r.want(t, status, "", "make copies with 'caddy instagram queue backup'")
		if strings.Contains(r.errors, "leave out --file") || strings.Contains(r.errors, "Restore a copy") {
			t.Errorf("%s gives advice that does not help: %s", command, r.errors)
		}
	}
	if got := decode[checkedQueue](t, runQueue(t, "check", "--file", copied, "--json")); got.Sound || got.Damage == "" || got.Error == nil {
		t.Errorf("%+v", got)
	}
}

// TestRefusalsThatChangeNothing must not leave in doubt what was done.
func TestRefusalsThatChangeNothing(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "backup", path).want(t, 2, "", "Error: copying the queue to "+path+": file already exists\n")
	s.run(t, "backup", filepath.Join(path, "copy.db")).want(t, 2, "", "Error: copying the queue to ")
	s.stores[0].Store = &faulty{Store: store, check: queue.ErrVersion}
	for _, args := range [][]string{{"check"}, {"compact"}, {"backup", path + ".new"}} {
		s.run(t, args...).want(t, 2, "", "Error: the queue is of a newer version\n")
	}
}

func TestQueueFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	store, inUse := newQueue(t)
	accept(t, store, commented(1)...)
	dir := t.TempDir()
	missing, empty, other := filepath.Join(dir, "missing.db"), filepath.Join(dir, "empty.db"), filepath.Join(dir, "other.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("not a queue\n"), 10_000)
	if err := os.WriteFile(other, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "compact", "export", "status", "list", "show", "pause", "resume", "drop"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			file := func(path string, args ...string) ran {
				switch command {
				case "show":
					args = append(args, "1")
				case "pause", "resume", "drop":
					args = append(args, "default")
				}
				return runQueue(t, append([]string{command, "--file", path}, args...)...)
			}
			file(inUse).want(t, 2, "", "leave out --file")
			file(missing).want(t, 2, "", "missing.db")
			file(dir).want(t, 2, "", "not the file of a queue")
			damaged := 2
			if command == "check" {
				damaged = 3
			}
			file(empty).want(t, damaged, "", "empty.db is no queue, or is damaged: it is empty")
			file(other).want(t, damaged, "", "other.db is no queue, or is damaged")
			for _, flag := range []string{"--address", "--config", "--store"} {
				file(missing, flag, "x").want(t, 1, "", "leave out")
			}
			if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file was made: %v", err)
			}
			for path, want := range map[string]string{empty: "", other: string(text)} {
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("%s was changed, %v", path, err)
				}
			}
		})
	}
}

// TestQueueCheckSaysOnceThatAFileIsDamaged also tells what to do.
func TestQueueCheckSaysOnceThatAFileIsDamaged(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"other.db": strings.Repeat("not a queue\n", 10_000), "empty.db": ""} {
		path := writeFile(t, name, content)
		r := runQueue(t, "check", "--file", path)
		r.want(t, 3, "", "damaged: ")
		if !strings.Contains(r.errors, path) {
			t.Errorf("the error does not name the file: %s", r.errors)
		}
		if strings.Count(r.errors, "damaged") != 1 || !strings.HasSuffix(r.errors, ". Restore a copy; what it held since is lost\n") {
			t.Errorf("said %s", r.errors)
		}
		if got := decode[checkedQueue](t, runQueue(t, "check", "--file", path, "--json")); got.Sound || got.Damage == "" || got.Error == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestQueueCompact(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(5000)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "compact").want(t, 0, "The file had ", "")
	for _, e := range lease(t, store)[1:] {
		if e.ID%100 != 0 {
			continue
		}
		if err := store.Settle(t.Context(), e, dead); err != nil {
			t.Fatal(err)
		}
	}
	closeQueue(t, store)
	mode := os.FileMode(0o640)
	if runtime.GOOS == "windows" {
		mode = 0o666
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	r := runQueue(t, "compact", "--file", path, "--json")
	r.want(t, 0, "", "")
	got := decode[compactedQueue](t, r)
	info, err := os.Stat(path)
	if err != nil || info.Size() != got.After || got.Before <= 0 || info.Mode() != mode {
		t.Errorf("%+v, and the file is %+v, %v", got, info, err)
	}
	runQueue(t, "check", "--file", path).want(t, 0, "sound", "")
	stats, err := statsOf(t, openQueue(t, path))
	if err != nil || stats.Pending+stats.Dead != 5000 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// lines returns what an export should be: the oldest event first.
func lines(events []event.Event, format string) string {
	var text []byte
	for i := range events {
		e := &events[i]
		if format == exportMeta {
			text = event.AppendLine(text, e.Envelope())
		} else {
			text = e.AppendCloudEvent(text)
		}
		text = append(text, '\n')
	}
	return string(text)
}

func TestQueueExport(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	all := accept(t, store, commented(2100)...)
	settle(t, store, dead)
	all = append(all, accept(t, store, event.Split([]byte("not JSON"))...)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	same := func(t *testing.T, r ran, want string) {
		t.Helper()
		if r.status != 0 || r.errors != "" || r.out != want {
			t.Errorf("exit code %d, %d bytes, want %d; %s", r.status, len(r.out), len(want), r.errors)
		}
	}
	same(t, s.run(t, "export"), lines(all, exportCloudEvents))
	same(t, s.run(t, "export", "--format", "meta"), lines(all, exportMeta))
	same(t, s.run(t, "export", "--state", "dead", "--since", "1h"), lines(all[:2100], exportCloudEvents))
	same(t, s.run(t, "export", "--state", "delivered"), "")

	output := filepath.Join(t.TempDir(), "events.jsonl")
	written := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(output); err != nil || string(got) != want {
			t.Errorf("the file has %d bytes, want %d, %v", len(got), len(want), err)
		}
	}
	s.run(t, "export", "--output", output).want(t, 0, "Wrote 2101 events to "+output, "")
	written(lines(all, exportCloudEvents))
	s.run(t, "export", "--output", output, "--state", "dead").want(t, 2, "", "exists")
	written(lines(all, exportCloudEvents))
	if info, err := os.Stat(output); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}

	closeQueue(t, store)
	same(t, runQueue(t, "export", "--file", path), lines(all, exportCloudEvents))
	same(t, runQueue(t, "export", "--file", path, "--format", "meta", "--field", "unparsed"), `{"data_base64":"bm90IEpTT04="}`+"\n")
	if err := os.Remove(output); err != nil {
		t.Fatal(err)
	}
	r := runQueue(t, "export", "--file", path, "--output", output, "--state", "dead", "--json")
	if got := decode[exported](t, r); r.status != 0 || got.Count != 2100 || got.Output != output {
		t.Errorf("%+v", r)
	}
	written(lines(all[:2100], exportCloudEvents))
	runQueue(t, "export", "--file", path, "--output", path).want(t, 2, "", "exists")
	runQueue(t, "export", "--file", path, "--format", "raw").want(t, 1, "", "cloudevents and meta")
	runQueue(t, "export", "--file", path, "--state", "lost").want(t, 1, "", "lost")
}

// Half an export says so, and leaves no file that could be taken for a whole one.
func TestQueueExportThatBreaksOff(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(2100)...)
	broken := &faulty{Store: store, list: func(calls int) error {
		if calls%4 == 0 {
			return errors.New("page 7 is lost")
		}
		return nil
	}}
	s := newQueueServer(t, admin.Store{Store: broken, Name: "q"})
	r := s.run(t, "export")
	r.want(t, 2, "", "after 2000 events: page 7 is lost")
	if n := strings.Count(r.out, "\n"); n != 2000 {
		t.Errorf("wrote %d lines, want 2000", n)
	}
	output := filepath.Join(t.TempDir(), "events.jsonl")
	s.run(t, "export", "--output", output).want(t, 2, "", "after 2000 events: page 7 is lost")
	if _, err := os.Stat(output); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

func TestExportIsOneLineAnEvent(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"{\n  \"a\": 1\n}": `{"a":1}`,
		`{"a": 1}`:         `{"a": 1}`,
		"no\nJSON":         `{"data_base64":"bm8KSlNPTg=="}`,
		"no JSON":          `{"data_base64":"bm8gSlNPTg=="}`,
		"":                 `{"data_base64":""}`,
	} {
		if got := exportedLines(exportMeta, []byte(body)); len(got) != 1 || string(got[0]) != want {
			t.Errorf("%q became %q, want %q", body, got, want)
		}
	}
}
