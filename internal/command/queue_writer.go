package command

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
)

// eventWriter writes an export: one event a line, or one JSON object whose list
// "events" has one a line.
type eventWriter struct {
	out    *bufio.Writer
	format string
	object bool
	status int // exit code for what cannot be written

	mu    sync.Mutex // an interrupt ends the output while a page is on its way
	ended bool
	count int
}

// writeAll writes the events that a query selects, the oldest first. Those that
// are accepted meanwhile do not come, however many they are.
func (w *eventWriter) writeAll(ctx context.Context, a *adminClient, query url.Values) error {
	var newest []admin.Event
	query.Set("limit", "1")
	if err := a.read(ctx, http.MethodGet, "/events", query, &newest); err != nil || len(newest) == 0 {
		return err
	}
	query.Set("before", strconv.FormatUint(newest[0].ID+1, 10))
	query.Set("order", "oldest")
	query.Set("limit", strconv.Itoa(admin.MaxLimit))
	query.Set("bodies", "true")
	for page, err := range a.events(ctx, query) {
		if err != nil && w.count > 0 {
			return fmt.Errorf("after %s: %w", plural(w.count, "event"), err)
		}
		if err == nil {
			err = w.write(page)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes a page of events.
func (w *eventWriter) write(page []*admin.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return errors.New("interrupted")
	}
	for _, e := range page {
		body := e.Bytes()
		if body == nil && e.Size > 0 {
			continue // forgotten meanwhile
		}
		for _, line := range exportedLines(w.format, body) {
			w.writeLine(line)
		}
	}
	return w.flush()
}

// writeLine leaves it to flush to tell an error.
func (w *eventWriter) writeLine(line []byte) {
	switch {
	case !w.object:
		line = append(line, '\n')
	case w.count == 0:
		_, _ = w.out.WriteString("{\"events\":[\n")
	default:
		_, _ = w.out.WriteString(",\n")
	}
	_, _ = w.out.Write(line)
	w.count++
}

// flush returns the first error of writing.
func (w *eventWriter) flush() error {
	if err := w.out.Flush(); err != nil {
		return &failure{w.status, fmt.Errorf("the events cannot be written: %w", err)}
	}
	return nil
}

// end ends the output after all is written, or after an error, which it returns.
func (w *eventWriter) end(err error) error {
	if !w.mu.TryLock() {
		return err // of an interrupt, while nobody reads the output
	}
	defer w.mu.Unlock()
	w.ended = true
	if w.object {
		if w.count == 0 {
			_, _ = w.out.WriteString("{\"events\":[")
		}
		_, _ = w.out.WriteString("]")
		if err != nil {
			text, _ := json.Marshal(describe(err)) // of strings and numbers
			_, _ = fmt.Fprintf(w.out, ",\"error\":%s", text)
		}
		_, _ = w.out.WriteString("}\n")
	}
	return cmp.Or(err, w.flush())
}

// exportedLines returns an event in a format, without a line feed: more than one
// if it was stored by a version that took several for one.
func exportedLines(format string, body []byte) (lines [][]byte) {
	if format == exportMeta {
		return [][]byte{event.AppendLine(nil, body)}
	}
	for _, e := range event.Split(body) {
		lines = append(lines, e.AppendCloudEvent(nil))
	}
	return lines
}
