package command

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/check"
)

// checked is the result of check.
type checked struct {
	outcome
	URL    string       `json:"url"`
	Status check.Status `json:"status"`
	*check.Report

	c       *console
	skipped []check.Finding // for the same reason, to be printed in one line
}

// print prints a finding. Checks that are skipped for the same reason share a line.
func (r *checked) print(f check.Finding) {
	if len(r.skipped) > 0 && (f.Status != check.Skipped || f.Text != r.skipped[0].Text) {
		r.flush()
	}
	if f.Status == check.Skipped {
		r.skipped = append(r.skipped, f)
		return
	}
	text := f.Text
	if f.Subject != "" {
		text = f.Subject + ": " + text
	}
	r.line(f.Status, f.Check, text, f.Advice)
}

// flush prints what was skipped.
func (r *checked) flush() {
	if len(r.skipped) == 0 {
		return
	}
	name := r.skipped[0].Check
	if more := len(r.skipped) - 1; more > 0 {
		name += fmt.Sprintf(" and %d more", more)
	}
	r.line(check.Skipped, name, "skipped: "+r.skipped[0].Text, "")
	r.skipped = nil
}

// text prints the summary. The findings were printed as they came in.
func (r *checked) text(c *console) {
	r.flush()
	c.printf("\n%s: %s, %s, %d ok, %d skipped\n", r.URL,
		plural(r.Count(check.Fault), "fault"), plural(r.Count(check.Warning), "warning"), r.Count(check.OK), r.Count(check.Skipped))
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// marks stand before findings: a sign on a terminal that can show it, else a word.
var marks = map[check.Status]struct{ sign, word, colour string }{
	check.OK:      {"✓", "ok  ", green},
	check.Warning: {"!", "WARN", yellow},
	check.Fault:   {"✗", "FAIL", red},
	check.Skipped: {"-", "skip", grey},
}

// line prints a finding, with the advice in a line of its own.
func (r *checked) line(status check.Status, name, text, advice string) {
	mark, width := marks[status], 0
	for _, name := range check.Checks() {
		width = max(width, len(name))
	}
	begin := mark.word
	if terminal(r.c.out) && utf8Locale() {
		begin = mark.sign
	}
	r.c.printf("%s %-*s  %s\n", r.c.paint(mark.colour, begin), width, name, text)
	if advice != "" {
		r.c.printf("%*s %s\n", len([]rune(begin))+1+width, "", " "+advice)
	}
}

// utf8Locale reports whether the environment says that text is UTF-8.
func utf8Locale() bool {
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return strings.HasSuffix(locale, "utf-8") || strings.HasSuffix(locale, "utf8")
}
