package command

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ago returns a time as text with its age, or "-" for the zero time.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if age := now.Sub(t); age < 0 {
		return fmt.Sprintf("%s (in %s)", timeText(t), ageText(-age))
	}
	return fmt.Sprintf("%s (%s ago)", timeText(t), ageText(now.Sub(t)))
}

// ageText returns a duration in the largest unit of which it has at least two, or
// in seconds.
func ageText(age time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case age >= 2*day:
		return fmt.Sprintf("%dd", age/day)
	case age >= 2*time.Hour:
		return fmt.Sprintf("%dh", age/time.Hour)
	case age >= 2*time.Minute:
		return fmt.Sprintf("%dm", age/time.Minute)
	}
	return fmt.Sprintf("%ds", age/time.Second)
}

// columns returns the widths of the columns of a table, and that of the table.
func columns(rows [][]string) (widths []int, total int) {
	widths = make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(visible(cell)))
		}
	}
	total = -2 // between columns
	for _, width := range widths {
		total += width + 2
	}
	return widths, total
}

// leastImportant are the columns that a table gives up on a narrow terminal, in this
// order.
var leastImportant = []string{
	"IDENTITY", "SIZE", "WITH UNIFIED LOGIN", "NAME ON A PAGE", "ACCOUNT", "DUE",
	"DELIVERED", "IN FLIGHT", "WITH FACEBOOK LOGIN", "FAMILY", "CONSUMER", "STORE",
}

// minCut is the width that a column keeps of which the cells are cut.
const minCut = 20

// list prints a table whose last columns, as many as texts, are of any length. On a
// terminal that is too narrow, these go to lines of their own below each row, the least
// important columns are left out, and if that is not enough the widest is cut.
func (c *console) list(texts int, rows [][]string) {
	if _, total := columns(rows); c.width == 0 || total <= c.width {
		c.table(rows...)
		return
	}
	n := len(rows[0]) - texts
	fixed := make([][]string, len(rows))
	for i, row := range rows {
		fixed[i] = slices.Clone(row[:n])
	}
	var hidden []string
	widths, total := columns(fixed)
	for _, name := range leastImportant {
		at := slices.Index(fixed[0], name)
		if at < 0 || total <= c.width {
			continue
		}
		hidden = append(hidden, strings.ToLower(name))
		for i := range fixed {
			fixed[i] = slices.Delete(fixed[i], at, at+1)
		}
		widths, total = columns(fixed)
	}
	if widest := slices.Index(widths, slices.Max(widths)); total > c.width && widths[widest] > minCut {
		widths[widest] = max(minCut, widths[widest]-(total-c.width))
	}
	for i, row := range fixed {
		var line strings.Builder
		for j, cell := range row {
			cell = visible(cell)
			if runes := []rune(cell); len(runes) > widths[j] {
				cell = string(runes[:widths[j]-1]) + "…"
			}
			fmt.Fprintf(&line, "%-*s  ", widths[j], cell)
		}
		c.printf("%s\n", strings.TrimRight(line.String(), " "))
		for _, text := range rows[i][n:] {
			if i > 0 && text != "" {
				c.printf("    %s\n", text)
			}
		}
	}
	if hidden != nil {
		c.note("Not shown: %s. With --wide, all is.", strings.Join(hidden, ", "))
	}
}

// ago is the function of that name, without the time itself where there is little room.
func (c *console) ago(t, now time.Time) string {
	text := ago(t, now)
	if open := strings.IndexByte(text, '('); c.width > 0 && open >= 0 {
		return strings.Trim(text[open:], "()")
	}
	return text
}

// stream prints the rows of a table as they come. Its columns grow with what they hold.
// On a terminal, the last one loses its beginning where there is no room for it: the
// identities of events differ at their ends.
type stream struct {
	c      *console
	widths []int // of the columns but the last
	hidden int   // index of a column that is left out, or -1
}

// newStream prints the header of a table whose columns have these widths at least. On a
// narrow terminal the account is left out.
func newStream(c *console, header []string, widths ...int) *stream {
	s := &stream{c, widths, -1}
	if c.width > 0 && c.width < 100 {
		s.hidden = slices.Index(header, "ACCOUNT")
	}
	if s.hidden >= 0 {
		s.widths = slices.Delete(widths, s.hidden, s.hidden+1)
	}
	s.print(header...)
	return s
}

func (s *stream) print(cells ...string) {
	if s.hidden >= 0 {
		cells = slices.Delete(cells, s.hidden, s.hidden+1)
	}
	var line strings.Builder
	room := s.c.width
	for i, width := range s.widths {
		cell := visible(cells[i])
		s.widths[i] = max(width, utf8.RuneCountInString(cell))
		fmt.Fprintf(&line, "%-*s  ", s.widths[i], cell)
		room -= s.widths[i] + 2
	}
	last := []rune(visible(cells[len(s.widths)]))
	if room = max(room, 1); s.c.width > 0 && len(last) > room {
		last = append([]rune{'…'}, last[len(last)-room+1:]...)
	}
	s.c.printf("%s%s\n", line.String(), string(last))
}
