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
	"os"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
)

// The formats of an export.
const (
	exportCloudEvents = "cloudevents"
	exportMeta        = "meta"
)

// exportFlags are the flags of export.
type exportFlags struct {
	eventSelection
	format, output string
}

func queueExportCommand(a *adminClient) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write events to a file, one a line",
		Long: `
Writes events as JSON, one a line, the oldest first: as CloudEvents, or with
--format meta as deliveries in Meta's form that hold just one event. So
'simulate --from-log' sends them again in their order. What is not JSON is in
base 64. An event is written once, however many consumers have it; with --consumer,
only if that one has it. They come from the queue of the running Caddy or, with --file, of a
stopped one. What is accepted or forgotten meanwhile may be missing. The output
holds messages and names of people.

With --json, the standard output is one JSON object: the lines are the list
"events" of it or, with --output, it tells how many they are.

Exit codes:
  0  done
  1  wrong usage
  2  Caddy refused or cannot be reached, or a file cannot be used: what was
     written to the standard output is not all
` + outputCode,
		Example: `  $ caddy instagram queue export --state dead > dead.jsonl
  $ caddy instagram queue export --format meta --since 24h --output events.jsonl
  $ caddy instagram queue export --file /var/lib/caddy/.local/share/caddy/instagram/queue.db --output events.jsonl`,
		RunE: a.run(0, func(ctx context.Context, c *console, _ []string) (result, error) { return export(ctx, c, a, &f) }),
	}
	f.register(cmd, "")
	cmd.Flags().StringVar(&f.format, "format", exportCloudEvents, "Write them in this `format`: cloudevents or meta")
	cmd.Flags().StringVar(&f.output, "output", "", "New `file` to write to (default: the standard output)")
	return a.withConsumer(a.withFile(cmd))
}

// exported is the result of export to a file.
type exported struct {
	outcome
	Count  int    `json:"count"`
	Output string `json:"output"`
}

func (e *exported) text(c *console) {
	c.printf("Wrote %s to %s.\n", plural(e.Count, "event"), e.Output)
}

func export(ctx context.Context, c *console, a *adminClient, f *exportFlags) (_ result, err error) {
	if f.format != exportCloudEvents && f.format != exportMeta {
		return nil, errors.New("--format is none of cloudevents and meta")
	}
	query := f.query(c)
	write := func(w *eventWriter) error {
		_, err := await(ctx, func() (struct{}, error) { return struct{}{}, w.writeAll(ctx, a, query) })
		return w.end(err)
	}
	if f.output == "" {
		w := &eventWriter{out: bufio.NewWriter(c.out), format: f.format, object: c.json, status: exitOutput}
		c.json = false // it is printed here
		return nil, write(w)
	}
	file, err := os.OpenFile(f.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, withStatus(exitRefused, fmt.Errorf("making a new file: %w", err))
	}
	w := &eventWriter{out: bufio.NewWriter(file), format: f.format, status: exitRefused}
	if err = write(w); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		// Half an export could be taken for a whole one.
		return nil, withStatus(exitRefused, errors.Join(err, os.Remove(f.output)))
	}
	return &exported{Count: w.count, Output: f.output}, nil
}

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
	for _, e := range distinct(page) {
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

// writeLine writes one event. The error, if any, is that of the next flush.
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
