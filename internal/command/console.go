package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// console is what a sub-command reads from and prints to.
type console struct {
	flags     *pflag.FlagSet
	in        io.Reader
	out, err  io.Writer
	json      bool
	width     int    // of out in columns, if it is a terminal, and without --wide; else 0
	colour    bool   // out is a terminal, and shows colours
	taken     string // what the standard input was taken for
	outputErr error  // why not all could be printed
}

func newConsole(cmd *cobra.Command) *console {
	asJSON, _ := cmd.Flags().GetBool("json") // there is such a flag
	out := cmd.OutOrStdout()
	width := terminalWidth(out)
	if wide, _ := cmd.Flags().GetBool("wide"); wide {
		width = 0
	}
	return &console{
		flags:  cmd.Flags(),
		in:     cmd.InOrStdin(),
		out:    out,
		err:    cmd.ErrOrStderr(),
		json:   asJSON,
		width:  width,
		colour: terminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// terminal reports whether w is a terminal.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the number of columns of the terminal w, or 0 if w is not a
// terminal.
func terminalWidth(w io.Writer) int {
	if !terminal(w) {
		return 0
	}
	if width, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// open opens a file for reading; - is the standard input, which can be asked for once.
func (c *console) open(name, what string) (io.ReadCloser, error) {
	if name == "-" {
		if c.taken != "" {
			return nil, fmt.Errorf("the %s and the %s cannot both come from the standard input", c.taken, what)
		}
		c.taken = what
		return io.NopCloser(c.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	return f, nil
}

// printf prints a result as text. It replaces what is not printable in its
// arguments, which may come from others.
func (c *console) printf(format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = visible(text)
		}
	}
	_, err := fmt.Fprintf(c.out, format, args...)
	c.printed(err)
}

// printed remembers the first error of printing a result.
func (c *console) printed(err error) {
	if c.outputErr == nil {
		c.outputErr = err
	}
}

// raw prints bytes as they are, except to a terminal, which would obey some of them.
func (c *console) raw(text []byte) {
	if !terminal(c.out) {
		_, err := c.out.Write(text)
		c.printed(err)
		return
	}
	for line := range strings.Lines(string(text)) {
		c.printf("%s\n", strings.TrimRight(line, "\r\n"))
	}
}

// encode prints a value as JSON: on one line, unless there is an indent.
func (c *console) encode(v any, indent string) {
	encoder := json.NewEncoder(c.out)
	encoder.SetIndent("", indent)
	encoder.SetEscapeHTML(false)
	c.printed(encoder.Encode(v))
}

// note prints to the standard error, next to the result.
func (c *console) note(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(c.err, visible(line))
	}
}

// table prints rows with aligned columns.
func (c *console) table(rows ...[]string) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = visible(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	c.printed(w.Flush())
}

// details prints names with their values, but for those that have none.
func (c *console) details(rows [][]string) {
	c.table(slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" || row[1] == "-" })...)
}

// The colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	grey   = "90"
)

// painted is printable text, possibly in colour.
type painted string

// paint returns text in a colour, if the terminal has any.
func (c *console) paint(colour, text string) painted {
	text = visible(text)
	if c.colour {
		text = "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
	return painted(text)
}

// visible returns s with U+FFFD in place of what is not printable, such as the
// sequences that control a terminal.
func visible(s string) string { return sanitize.Printable(s, '\uFFFD') }

// timeText returns a time as text, in UTC.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// problem is an error as JSON.
type problem struct {
	Message string `json:"message"`
	Code    int    `json:"code,omitempty"`
	Subcode int    `json:"subcode,omitempty"`
	Type    string `json:"type,omitempty"`
	TraceID string `json:"fbtrace_id,omitempty"`
	Advice  string `json:"advice,omitempty"`
}

// outcome is the part of a result that tells an error.
type outcome struct {
	Error *problem `json:"error,omitempty"`
}

func (*outcome) text(*console) {}

func (o *outcome) fail(p *problem) { o.Error = p }

// finish prints a result and an error, and returns the exit code: that of err or,
// if there is none, exitOutput for a result that cannot be printed.
func (c *console) finish(found result, err error) (status int) {
	p := describe(err)
	if c.json && (found != nil || p != nil) {
		if found == nil {
			found = new(outcome)
		}
		if p != nil {
			found.fail(p)
		}
		c.encode(found, "  ")
	} else if found != nil {
		found.text(c)
	}
	if c.outputErr != nil {
		c.note("Error: the result cannot be printed: %s", c.outputErr)
		status = exitOutput
	}
	if err == nil {
		return status
	}
	if p != nil {
		c.note("Error: %s", p.Message)
	}
	if p != nil && p.Advice != "" {
		c.note("What to do: %s", p.Advice)
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.status
	}
	return exitInput
}

func describe(err error) *problem {
	if err == nil || errors.Is(err, errReported) {
		return nil
	}
	p := &problem{Message: err.Error()}
	if e, ok := errors.AsType[*graph.Error](err); ok {
		p.Code, p.Subcode, p.Type, p.TraceID, p.Advice = e.Code, e.Subcode, e.Type, e.TraceID, e.Advice()
	}
	return p
}
