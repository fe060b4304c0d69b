package command

import (
	"bufio"
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
			if err := w.writeLine(line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *eventWriter) writeLine(line []byte) (err error) {
	if !w.object {
		_, err = w.out.Write(append(line, '\n'))
	} else {
		separator := ",\n"
		if w.count == 0 {
			separator = "{\"events\":[\n"
		}
		_, err = w.out.WriteString(separator)
		if err == nil {
			_, err = w.out.Write(line)
		}
	}
	w.count++
	return w.unwritten(err)
}

// unwritten gives an error of writing its exit code.
func (w *eventWriter) unwritten(err error) error {
	if err != nil {
		err = &failure{w.status, fmt.Errorf("the events cannot be written: %w", err)}
	}
	return err
}

// end ends the output, and returns an error that it has not told of, or that of
// writing it.
func (w *eventWriter) end(err error) error {
	if !w.mu.TryLock() {
		return err // of an interrupt, while nobody reads the output
	}
	defer w.mu.Unlock()
	w.ended = true
	if !w.object {
		return w.flushed(err)
	}
	if w.count == 0 {
		_, _ = w.out.WriteString("{\"events\":[") // Flush tells
	}
	_, _ = w.out.WriteString("]")
	if err != nil {
		text, _ := json.Marshal(describe(err)) // of strings and numbers
		_, _ = fmt.Fprintf(w.out, ",\"error\":%s", text)
	}
	_, _ = w.out.WriteString("}\n")
	return w.flushed(err)
}

// flushed returns err or, if there is none, that of writing the rest.
func (w *eventWriter) flushed(err error) error {
	if flushed := w.out.Flush(); err == nil {
		err = w.unwritten(flushed)
	}
	return err
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
