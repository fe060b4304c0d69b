package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

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
type exportFlags struct{ format, output string }

func queueExportCommand(a *adminClient) *cobra.Command {
	var f exportFlags
	cmd := a.command("export", "Write events to a file, one a line", `
Writes events as JSON, one a line, the oldest first: as CloudEvents, or with
--format meta as deliveries in Meta's form that hold just one event. So
'simulate --from-log' sends them again in their order. What is not JSON is in
base 64. An event is written once, however many consumers have it; with --consumer,
only if that one has it. They come from the queue of the running Caddy or, with --file, of a
stopped one. What is accepted or forgotten meanwhile may be missing, and what was erased is. The output
holds messages and names of people.

With --json, the standard output is one JSON object: the lines are the list
"events" of it or, with --output, it tells how many they are.

Exit codes:
  0  done
  1  wrong usage
  2  Caddy refused or cannot be reached, or a file cannot be used: what was
     written to the standard output is not all
`+outputCode, `  $ caddy instagram queue export --state dead > dead.jsonl
  $ caddy instagram queue export --format meta --since 24h --output events.jsonl
  $ caddy instagram queue export --file /var/lib/caddy/.local/share/caddy/instagram/queue.db --output events.jsonl`,
		0, func(ctx context.Context, c *console, _ []string) (result, error) { return export(ctx, c, a, &f) })
	registerSelection(cmd, "")
	cmd.Flags().StringVar(&f.format, "format", exportCloudEvents, "Write them in this `format`: cloudevents or meta")
	cmd.Flags().StringVar(&f.output, "output", "", "New `file` to write to (default: the standard output)")
	return a.withConsumer(a.withFile(cmd))
}

// exported is the result of export to a file.
type exported struct {
	outcome
	Count  int    `json:"count"`
	Erased int    `json:"erased,omitempty"` // events that were left out, as their bodies were erased
	Output string `json:"output"`
}

func (e *exported) text(c *console) {
	c.printf("Wrote %s to %s.\n", plural(e.Count, "event"), e.Output)
}

func export(ctx context.Context, c *console, a *adminClient, f *exportFlags) (_ result, err error) {
	if f.format != exportCloudEvents && f.format != exportMeta {
		return nil, errors.New("--format is none of cloudevents and meta")
	}
	query := selected(c)
	if f.output == "" {
		w := &eventWriter{out: c.out, format: f.format, object: c.json, status: exitOutput}
		c.json = false // it is printed here
		err := w.end(ctx, w.writeAll(ctx, a, query))
		w.tell(c)
		return nil, err
	}
	file, err := os.OpenFile(f.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, withStatus(exitRefused, fmt.Errorf("making a new file: %w", err))
	}
	w := &eventWriter{out: file, format: f.format, status: exitRefused}
	if err = w.writeAll(ctx, a, query); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		// Half an export could be taken for a whole one.
		return nil, withStatus(exitRefused, errors.Join(err, os.Remove(f.output)))
	}
	w.tell(c)
	return &exported{Count: w.count, Erased: w.erased, Output: f.output}, nil
}

// eventWriter writes an export: one event a line, or one JSON object whose list
// "events" has one a line.
type eventWriter struct {
	out    io.Writer
	format string
	object bool
	status int // exit code for what cannot be written

	page   bytes.Buffer // what is to be written next
	count  int
	erased int // events that have no body any more
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
			err = w.write(ctx, page)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes a page of events.
func (w *eventWriter) write(ctx context.Context, page []*admin.Event) error {
	for _, e := range distinct(page) {
		body := e.Bytes()
		if !e.Erased.IsZero() {
			w.erased++
			continue
		}
		if body == nil && e.Size > 0 {
			continue // forgotten meanwhile
		}
		for _, line := range exportedLines(w.format, body) {
			w.add(line)
		}
	}
	return w.flush(ctx)
}

// tell notes that events were left out.
func (w *eventWriter) tell(c *console) {
	if w.erased > 0 {
		c.note("Left out: %s, whose bodies were erased", plural(w.erased, "event"))
	}
}

// add adds one event to the page.
func (w *eventWriter) add(line []byte) {
	switch {
	case !w.object:
		line = append(line, '\n')
	case w.count == 0:
		w.page.WriteString("{\"events\":[\n")
	default:
		w.page.WriteString(",\n")
	}
	w.page.Write(line)
	w.count++
}

// flush writes the page. An interrupt does not wait for somebody to read the output.
func (w *eventWriter) flush(ctx context.Context) error {
	err := await(ctx, func() error {
		_, err := w.page.WriteTo(w.out)
		return err
	})
	if err != nil && !errors.Is(err, errInterrupted) {
		err = &failure{w.status, fmt.Errorf("the events cannot be written: %w", err)}
	}
	return err
}

// end ends the output after all is written, or after an error, which it returns.
func (w *eventWriter) end(ctx context.Context, err error) error {
	if errors.Is(err, errInterrupted) || !w.object { // nobody may be reading the output
		return err
	}
	if w.count == 0 {
		w.page.WriteString("{\"events\":[")
	}
	w.page.WriteString("]")
	if err != nil {
		text, _ := json.Marshal(describe(err)) // of strings and numbers
		fmt.Fprintf(&w.page, ",\"error\":%s", text)
	}
	w.page.WriteString("}\n")
	return cmp.Or(err, w.flush(context.WithoutCancel(ctx)))
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
