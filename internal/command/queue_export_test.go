package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
)

// TestExportThatIsReplayedKeepsConversationsInOrder takes the messages of one
// conversation out of a queue, and delivers them as they were accepted.
func TestExportThatIsReplayedKeepsConversationsInOrder(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	var want []string
	for i := range 5 {
		body := fmt.Sprintf(`{"object":"instagram","entry":[{"time":1767225600000,"id":"17841400000000009","messaging":[{"sender":{"id":"61000000000009"},`+
			`"recipient":{"id":"17841400000000009"},"timestamp":%d,"message":{"mid":"m.%d","text":"line %[2]d"}}]}]}`, 1767225600000+i, i)
		accept(t, store, event.Split([]byte(body))...)
		want = append(want, body)
	}
	accept(t, store, event.Split([]byte("\ufeffno JSON"))...)
	want = append(want, "\ufeffno JSON")
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	for _, format := range []string{exportCloudEvents, exportMeta} {
		r := s.run(t, "export", "--format", format)
		r.want(t, 0, "line 0", "")
		p := newReceiver(t)
		code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--from-log", writeFile(t, "events.jsonl", r.out))
		if code != 0 || errs != "" || strings.Contains(out, "left out") || !slices.Equal(p.received(), want) {
			t.Errorf("%s: exit code %d, received %q\n%s%s", format, code, p.received(), out, errs)
		}
	}
}

// TestExportDoesNotChaseAQueueThatGrows ends although an event comes for each page
// that it writes.
func TestExportDoesNotChaseAQueueThatGrows(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	const all = 2 * admin.MaxLimit
	events := accept(t, store, commented(all)...)
	calls := 0
	busy := &faulty{Store: store, list: func(n int) error {
		if n != calls { // it is asked twice a call
			calls = n
			accept(t, store, commented(admin.MaxLimit)...)
		}
		if n > 10 {
			return errors.New("it goes on for ever")
		}
		return nil
	}}
	s := newQueueServer(t, admin.Store{Store: busy, Name: "q"})
	r := s.run(t, "export")
	r.want(t, 0, "", "")
	// The first call shows the newest, which that call has brought.
	if n := strings.Count(r.out, "\n"); n != all+admin.MaxLimit || !strings.HasPrefix(r.out, string(events[0].AppendCloudEvent(nil))) {
		t.Errorf("%d lines, want %d", n, all+admin.MaxLimit)
	}
}

// TestExportAsOneJSONObject holds --json against what it promises, whatever
// happens.
func TestExportAsOneJSONObject(t *testing.T) {
	t.Parallel()
	type object struct {
		Events []json.RawMessage `json:"events"`
		Error  *problem          `json:"error"`
	}
	store, path := newQueue(t)
	accept(t, store, commented(1500)...)
	accept(t, store, event.Split([]byte("not JSON"))...)
	settle(t, store, dead)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	for _, format := range []string{exportCloudEvents, exportMeta} {
		r := s.run(t, "export", "--json", "--format", format)
		r.want(t, 0, "", "")
		lines := strings.Split(s.run(t, "export", "--format", format).out, "\n")
		got := decode[object](t, r)
		if len(got.Events) != 1501 || got.Error != nil || string(got.Events[0]) != lines[0] || string(got.Events[1500]) != lines[1500] {
			t.Errorf("%s: %d events, %+v", format, len(got.Events), got.Error)
		}
	}
	if got := decode[object](t, s.run(t, "export", "--json", "--state", "pending")); got.Events == nil || len(got.Events) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
	s.stores[0].Store = &faulty{Store: store, list: func(calls int) error {
		if calls == 3 {
			return errors.New("page 7 is lost")
		}
		return nil
	}}
	r := s.run(t, "export", "--json")
	r.want(t, 2, "", "after 1000 events: page 7 is lost")
	if got := decode[object](t, r); len(got.Events) != 1000 || got.Error == nil || got.Error.Message != "after 1000 events: page 7 is lost" {
		t.Errorf("broken off: %d events, %+v", len(got.Events), got.Error)
	}
	r = s.run(t, "export", "--json", "--format", "raw")
	if got := decode[outcome](t, r); r.status != 1 || got.Error == nil {
		t.Errorf("%+v", r)
	}
	closeQueue(t, store)
	if got := decode[object](t, runQueue(t, "export", "--json", "--file", path)); len(got.Events) != 1501 {
		t.Errorf("of a file: %d events", len(got.Events))
	}
}

// TestExportToAFullDiskIsNoSuccess has a standard output that takes nothing.
func TestExportToAFullDiskIsNoSuccess(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(1)...)
	closeQueue(t, store)
	for _, args := range [][]string{nil, {"--json"}} {
		r := runCommandTo(t.Context(), full{}, "", append([]string{"queue", "export", "--file", path}, args...)...)
		r.want(t, exitOutput, "", "the events cannot be written: no space left")
	}
}

// unread is a standard output that nobody reads any more.
type unread struct{ begin, end func() }

func (w unread) Write(text []byte) (int, error) {
	w.begin()
	w.end()
	return len(text), nil
}

// TestExportThatNobodyReadsIsInterrupted ends although the output takes nothing, and
// writes no end of the JSON object behind half a page.
func TestExportThatNobodyReadsIsInterrupted(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	for _, format := range []string{"--json", "--format=meta"} {
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan struct{})
		writes := 0
		out := unread{begin: func() { writes++; interrupt() }, end: func() { <-ended }}
		r := runCommandTo(ctx, out, "", "queue", "export", format, "--address", s.Listener.Addr().String())
		r.want(t, exitRefused, "", "interrupted")
		close(ended)
		if writes != 1 {
			t.Errorf("%s: %d writes", format, writes)
		}
	}
}
