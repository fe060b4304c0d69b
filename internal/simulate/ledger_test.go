package simulate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

func write(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, path string) *Ledger {
	t.Helper()
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a second time, after tests that close it
	return l
}

func acknowledge(t *testing.T, l *Ledger, ids ...string) {
	t.Helper()
	if err := l.Acknowledge(ids...); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acknowledged.txt")
	for _, ids := range [][]string{{"a", "b", "a"}, {"b", "c"}, {}} {
		l := mustOpen(t, path)
		acknowledge(t, l, ids...)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "a\nb\nc\n" {
		t.Errorf("%q, %v", content, err)
	}
	if l, err := ReadLedger(path); err != nil || l.Len() != 3 {
		t.Errorf("%d read, %v", l.Len(), err)
	}
}

// TestLedgerThatWasCutOff keeps what there is of the last line: it will be
// missed, which is better than to be forgotten.
func TestLedgerThatWasCutOff(t *testing.T) {
	t.Parallel()
	path := write(t, "acknowledged.txt", "a\n\nb/c")
	if l, err := ReadLedger(path); err != nil || l.Len() != 2 {
		t.Errorf("%d read, %v", l.Len(), err)
	}
	acknowledge(t, mustOpen(t, path), "d")
	if content, err := os.ReadFile(path); err != nil || string(content) != "a\n\nb/c\nd\n" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestLedgerErrors(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	if _, err := OpenLedger(directory); err == nil {
		t.Error("a directory is opened")
	}
	if _, err := ReadLedger(filepath.Join(directory, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read what does not exist: %v", err)
	}
	l := mustOpen(t, filepath.Join(directory, "ledger"))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Acknowledge("a"); err == nil {
		t.Error("a closed file is written")
	}
}

func TestLedgerThatIsNone(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"instagram/1/comments/2\n" + `{"specversion":"1.0","id":"instagram/1/comments/2"}` + "\n",
		"a\r\n", "a b\n", "\x00", "\x1b[31m", "é", strings.Repeat("x", 5000),
	} {
		path := write(t, "events.jsonl", content)
		for name, open := range map[string]func(string) (*Ledger, error){"opened": OpenLedger, "read": ReadLedger} {
			if _, err := open(path); err == nil || !strings.Contains(err.Error(), "so this is no ledger") {
				t.Errorf("%.20q is %s as a ledger: %v", content, name, err)
			}
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("%.20q was changed: %v", content, err)
		}
	}
}

func TestLedgerConcurrently(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acknowledged.txt")
	l := mustOpen(t, path)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 100 {
				if err := l.Acknowledge(strconv.Itoa(n), strconv.Itoa(100*(i+1)+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	content, err := os.ReadFile(path)
	if lines := strings.Fields(string(content)); err != nil || len(lines) != 900 || l.Len() != 900 {
		t.Errorf("%d lines, %d identities, %v", len(lines), l.Len(), err)
	}
}

// TestVerify compares ledgers with event files in each format.
func TestVerify(t *testing.T) {
	t.Parallel()
	bodies := collect(t, Take(Sample{Seed: 2, Fields: []string{"comments", "messages"}, Batch: 3}.Deliveries(), 4))
	var events []event.Event
	for _, body := range bodies {
		events = append(events, event.Split([]byte(body))...)
	}
	files := map[string]string{"cloudevents": "", "meta": "", "raw": strings.Join(bodies, "\n") + "\n"}
	for i := range events {
		files["cloudevents"] += string(events[i].AppendCloudEvent(nil)) + "\n"
		files["meta"] += string(events[i].Envelope()) + "\n"
	}
	for format, content := range files {
		whole := write(t, format, content)
		l := new(Ledger)
		acknowledge(t, l, identities(events)...)
		report, err := l.Verify(EventFiles(whole))
		if err != nil || report.Acknowledged != 12 || report.Found != 12 || report.Missing != nil || report.Others != 0 || report.Repeated != 0 || report.Malformed != 0 {
			t.Errorf("%s: %+v, %v", format, report, err)
		}

		// The last line is cut off, the first is there twice, and one more
		// event was acknowledged.
		first, _, _ := strings.Cut(content, "\n")
		broken := write(t, format, content[:len(content)-20])
		acknowledge(t, l, "instagram/1/comments/2")
		report, err = l.Verify(EventFiles(broken, write(t, "more", first+"\n")))
		lost := len(event.Split([]byte(bodies[3])))
		if format != "raw" {
			lost = 1
		}
		want := append([]string{"instagram/1/comments/2"}, identities(events[12-lost:])...)
		slices.Sort(want)
		again := 1
		if format == "raw" {
			again = 3
		}
		if err != nil || report.Found != 12-lost || !slices.Equal(report.Missing, want) || report.Repeated != again || report.Malformed != 1 || report.Others != 0 {
			t.Errorf("%s: %+v, %v", format, report, err)
		}

		fewer := new(Ledger)
		acknowledge(t, fewer, events[0].ID())
		if report, err = fewer.Verify(EventFiles(whole)); err != nil || report.Found != 1 || report.Others != 11 {
			t.Errorf("%s: %+v, %v", format, report, err)
		}
	}
}

func TestVerifyNeedsTheFile(t *testing.T) {
	t.Parallel()
	if report, err := new(Ledger).Verify(EventFiles(filepath.Join(t.TempDir(), "none"))); !errors.Is(err, fs.ErrNotExist) || report != nil {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := new(Ledger).Verify(EventFiles(t.TempDir())); err == nil || errors.Is(err, ErrMalformed) || errors.Is(err, ErrIncomplete) {
		t.Errorf("of a directory: %+v, %v", report, err)
	}
}

// TestVerifyInLittleMemory has a receiver that kept far more than was
// acknowledged.
func TestVerifyInLittleMemory(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1<<16)
	l := new(Ledger)
	acknowledge(t, l, text[:20], "lost")
	var report *Report
	allocated := testing.AllocsPerRun(1, func() {
		var err error
		report, err = l.Verify(func(yield func(string, error) bool) {
			for i := range len(text) - 100 {
				if !yield(text[i:i+20+i%70], nil) {
					return
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	if report.Found != 1 || len(report.Missing) != 1 || report.Repeated == 0 || report.Others+report.Repeated != len(text)-101 {
		t.Errorf("%+v", report)
	}
	if allocated > 100 {
		t.Errorf("%v allocations", allocated)
	}
}
