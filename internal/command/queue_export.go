package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
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
base 64. They come from the queue of the running Caddy or, with --file, of a
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
	a.registerFile(cmd)
	cmd.Flags().StringVar(&f.format, "format", exportCloudEvents, "Write them in this `format`: cloudevents or meta")
	cmd.Flags().StringVar(&f.output, "output", "", "New `file` to write to (default: the standard output)")
	return cmd
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
