package file

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// batch is a delivery of two comments and a message.
func batch() *event.Delivery {
	g := sample.New(1)
	comments := g.Delivery(sample.Spaced, 2, "comments")
	message := g.Delivery(sample.Compact, 1, "messages")
	return &event.Delivery{Body: []byte("[" + string(comments) + ",\n" + string(message) + "]")}
}

func deliver(t *testing.T, h *Handler, d *event.Delivery) {
	t.Helper()
	if passed, err := serve(h, d); err != nil || !passed || !d.Accepted() {
		t.Fatalf("passed on: %t, accepted: %t, %v", passed, d.Accepted(), err)
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestFileFormats(t *testing.T) {
	t.Parallel()
	for format, parse := range map[string]func(line string) (ids []string){
		formatCloudEvents: func(line string) []string {
			var e struct{ ID, SpecVersion string }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.SpecVersion != "1.0" {
				t.Errorf("%q: %v", line, err)
			}
			return []string{e.ID}
		},
		formatMeta: func(line string) []string { return idsOf(event.Split([]byte(line))) },
		formatRaw:  func(line string) []string { return idsOf(event.Split([]byte(line))) },
	} {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		h := provisioned(t, path, func(h *Handler) { h.Format = format })
		d := batch()
		deliver(t, h, d)
		var got []string
		lines := readLines(t, path)
		for _, line := range lines {
			got = append(got, parse(line)...)
		}
		if want := idsOf(d.Events()); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", format, got, want)
		}
		if want := map[string]int{formatRaw: 1}[format]; want == 1 && len(lines) != 1 || want == 0 && len(lines) != 3 {
			t.Errorf("%s: got %d lines", format, len(lines))
		}
	}
}

func idsOf(events []event.Event) (ids []string) {
	for i := range events {
		ids = append(ids, events[i].ID())
	}
	return ids
}

func TestFileFields(t *testing.T) {
	// Not parallel: it counts with the metrics of the package.
	path := filepath.Join(t.TempDir(), "events.jsonl")
	h := provisioned(t, path, func(h *Handler) { h.Format, h.Fields = formatMeta, []string{"messages", "mentions"} })
	count := func(result, field string) float64 { return testutil.ToFloat64(events.WithLabelValues(result, field)) }
	skipped, written, other := count(resultSkipped, "comments"), count(resultWritten, "messages"), count(resultSkipped, "other")
	deliver(t, h, batch())
	deliver(t, h, &event.Delivery{Body: []byte(change("1", "made_up_tomorrow"))})
	if lines := readLines(t, path); len(lines) != 1 || !strings.Contains(lines[0], `"messaging"`) {
		t.Errorf("got %q", lines)
	}
	if got := count(resultSkipped, "comments") - skipped; got != 2 {
		t.Errorf("skipped comments: got %v, want 2", got)
	}
	if got := count(resultWritten, "messages") - written; got != 1 {
		t.Errorf("written messages: got %v, want 1", got)
	}
	if got := count(resultSkipped, "other") - other; got != 1 {
		t.Errorf("skipped others: got %v, want 1", got)
	}
	// It may be a message or a mention.
	deliver(t, h, &event.Delivery{Body: []byte(`{"cut":`)})
	if lines := readLines(t, path); len(lines) != 2 || strings.TrimSpace(lines[1]) != `{"data_base64":"eyJjdXQiOg=="}` {
		t.Errorf("what cannot be taken apart: got %q", lines)
	}
}

func TestFilePerField(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := provisioned(t, filepath.Join(dir, "{instagram.field}", "{instagram.account}.jsonl"), func(h *Handler) { h.Format = formatMeta })
	d := batch()
	deliver(t, h, d)
	for _, e := range d.Events() {
		want := map[string]int{"comments": 2, "messages": 1}[e.Field]
		if lines := readLines(t, filepath.Join(dir, e.Field, e.Account+".jsonl")); len(lines) != want {
			t.Errorf("%s: got %q", e.Field, lines)
		}
	}
}

func TestFileLayoutFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "events")
	h := provisioned(t, dir, func(h *Handler) { h.Format, h.Layout = formatMeta, layoutFiles })
	d := batch()
	deliver(t, h, d)
	deliver(t, h, batch()) // the same events again
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	for _, e := range d.Events() {
		want = append(want, string(e.Envelope())+"\n")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFileOfAnotherApp holds that the event of one app does not replace that of
// another.
func TestFileOfAnotherApp(t *testing.T) {
	t.Parallel()
	for _, format := range []string{formatMeta, formatCloudEvents, formatRaw} {
		dir := filepath.Join(t.TempDir(), "events")
		h := provisioned(t, dir, func(h *Handler) { h.Format, h.Layout = format, layoutFiles })
		for _, secret := range []string{"one", "two", "one"} {
			deliver(t, h, &event.Delivery{Secret: secret, Body: []byte(`{"object":"instagram","entry":[{"id":"1","time":5,"changes":[{"field":"comments","value":{"id":"2"}}]}]}`)})
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("%s: %d files, %v", format, len(entries), err)
		}
	}
}

// TestFileOfTheNextEvent holds that an event which looks like another one does not replace
// its file, while the same event does.
func TestFileOfTheNextEvent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entry string
		files int
	}{
		"changed fields": {`"changed_fields":["photos"]`, 3},
		"status":         {`"changes":[{"field":"message_template_status_update","value":{"event":"APPROVED"}}]`, 3},
		"comment":        {`"changes":[{"field":"comments","value":{"id":"2"}}]`, 1},
	} {
		dir := filepath.Join(t.TempDir(), "events")
		h := provisioned(t, dir, func(h *Handler) { h.Format, h.Layout = formatMeta, layoutFiles })
		for when := range 3 {
			deliver(t, h, &event.Delivery{Body: fmt.Appendf(nil, `{"object":"user","entry":[{"id":"1","time":%d,%s}]}`, 5+when, tc.entry)})
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != tc.files {
			t.Errorf("%s: %d files, want %d: %v", name, len(entries), tc.files, entries)
		}
	}
}

// TestFileSharedByHandlers holds that two handlers, as of two configs, share
// one open file, and that the older one may go on after it was cleaned up.
func TestFileSharedByHandlers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	older, newer := provisioned(t, path), provisioned(t, path)
	if older.pool != newer.pool {
		t.Fatal("the handlers have a pool each")
	}
	for _, h := range []*Handler{older, newer, older} {
		deliver(t, h, &event.Delivery{Body: []byte("{}")})
	}
	mustHold(t, path, "{}\n{}\n{}\n")
	older.pool.mu.Lock()
	defer older.pool.mu.Unlock()
	if s := older.pool.sinks[layoutLines+":"+path]; s == nil || s.refs != 0 {
		t.Errorf("the file is not open and idle: %+v", s)
	}
}

func TestFileValidate(t *testing.T) {
	t.Parallel()
	for want, h := range map[string]*Handler{
		`layout "tape"`:             {Layout: "tape"},
		`format "xml"`:              {Format: "xml"},
		"name of a field is empty":  {Fields: []string{"comments", ""}},
		`roll_at "24:00"`:           {Roll: Roll{At: []string{"24:00"}}},
		`roll_compression "bzip2"`:  {Roll: Roll{Size: 1, Compression: "bzip2"}},
		"must not be negative":      {Roll: Roll{Keep: -1}},
		"say when to roll":          {Roll: Roll{Keep: 3}},
		"roll is for the layout li": {Layout: layoutFiles, Roll: Roll{Size: 1}},
	} {
		if err := h.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	for _, config := range []string{`{"mode":"0999"}`, `{"mode":"1644"}`, `{"mode":640}`, `{"mode":""}`} {
		if err := json.Unmarshal([]byte(config), new(Handler)); err == nil {
			t.Errorf("%s: no error", config)
		}
	}
}

// TestFileRollNeedsAnExtension holds that rolled files can be told from others,
// whatever stands in the placeholders.
func TestFileRollNeedsAnExtension(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"/a/events.jsonl": true, "/a/{instagram.field}.jsonl": true,
		"/a/events": false, "/a/{instagram.field}": false, "/a.d/{time.now.year}": false, "/a/events.jsonl.gz": false,
	} {
		p, err := newPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := validateRolled(p); (err == nil) != ok {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
