package command

import (
	"bufio"
	"context"
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
type exportFlags struct {
	eventSelection
	fileFlag
	format, output string
}

func queueExportCommand(g *gateway) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write events to a file, one a line",
		Long: `
Writes events as JSON, one a line, the newest first: as CloudEvents, or with
--format meta as deliveries in Meta's form that hold just one event. They come
from the queue of the running Caddy or, with --file, of a stopped one. What is
accepted or forgotten meanwhile may be missing. The output holds messages and
names of people.

Exit codes:
  0  done
  1  wrong usage
  2  Caddy refused or cannot be reached, or a file cannot be used: what was
     written to the standard output is not all
` + unsaidCode,
		Example: `  $ caddy instagram queue export --state dead > dead.jsonl
  $ caddy instagram queue export --format meta --since 24h --output events.jsonl
  $ caddy instagram queue export --file /var/lib/caddy/.local/share/caddy/instagram/queue.db --output events.jsonl`,
		RunE: run(0, func(ctx context.Context, c *console, _ []string) (result, error) {
			return export(ctx, c, g, &f)
		}),
	}
	f.eventSelection.register(cmd, "")
	f.fileFlag.register(cmd)
	cmd.Flags().StringVar(&f.format, "format", exportCloudEvents, "Write them in this `format`: cloudevents or meta")
	cmd.Flags().StringVar(&f.output, "output", "", "New `file` to write to (default: the standard output)")
	return cmd
}

// exported is the result of export to a file.
type exported struct {
	outcome
	Events int    `json:"events"`
	Output string `json:"output"`
}

func (e *exported) text(c *console) { c.printf("Wrote %s to %s.\n", eventCount(e.Events), e.Output) }

func export(ctx context.Context, c *console, g *gateway, f *exportFlags) (_ result, err error) {
	if f.format != exportCloudEvents && f.format != exportMeta {
		return nil, errors.New("--format is none of cloudevents and meta")
	}
	if err := f.validate(g); err != nil {
		return nil, err
	}
	query, err := f.query()
	if err != nil {
		return nil, err
	}
	query.Set("limit", strconv.Itoa(admin.MaxLimit))
	query.Set("bodies", "true")
	list := func(query url.Values) (page []*admin.Event, err error) {
		err = g.look(ctx, http.MethodGet, "/events", query, &page)
		return page, err
	}
	if f.path != "" {
		store, _, err := f.open()
		if err != nil {
			return nil, err
		}
		defer store.Close()
		list = func(query url.Values) ([]*admin.Event, error) {
			filter, err := admin.ParseFilter(query)
			if err != nil {
				return nil, err
			}
			filter.Bodies = true
			page, err := admin.List(ctx, store, filter)
			return page, unusable(err)
		}
	}
	write := func(w io.Writer) (int, error) {
		return await(ctx, func() (int, error) { return writeEvents(w, f.format, query, list) })
	}
	if f.output == "" {
		c.json = false // the output is JSON of its own
		_, err := write(c.out)
		return nil, err
	}
	file, err := os.OpenFile(f.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, unusable(fmt.Errorf("making a new file: %w", err))
	}
	n, err := write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		// Half an export could be taken for a whole one.
		return nil, unusable(errors.Join(err, os.Remove(f.output)))
	}
	return &exported{Events: n, Output: f.output}, nil
}

// unusable gives an error its exit code, unless it has one.
func unusable(err error) error {
	if _, ok := errors.AsType[*failure](err); ok || err == nil {
		return err
	}
	return &failure{exitRefused, err}
}

// writeEvents writes events, page by page, and returns how many.
func writeEvents(w io.Writer, format string, query url.Values, list func(url.Values) ([]*admin.Event, error)) (n int, err error) {
	out := bufio.NewWriter(w)
	var line []byte
	for {
		page, err := list(query)
		if err != nil {
			if n > 0 {
				err = fmt.Errorf("after %s: %w", eventCount(n), err)
			}
			return n, errors.Join(err, out.Flush())
		}
		if len(page) == 0 {
			return n, unusable(out.Flush())
		}
		for _, e := range page {
			body := e.Bytes()
			if body == nil {
				continue // forgotten meanwhile
			}
			line = appendLines(line[:0], format, body)
			if _, err := out.Write(line); err != nil {
				return n, unusable(err)
			}
			n++
		}
		query.Set("before", strconv.FormatUint(page[len(page)-1].ID, 10))
	}
}

// appendLines appends an event in a format.
func appendLines(dst []byte, format string, body []byte) []byte {
	if format == exportMeta {
		return append(event.AppendLine(dst, body), '\n')
	}
	for _, e := range event.Split(body) {
		dst = append(e.AppendCloudEvent(dst), '\n')
	}
	return dst
}
