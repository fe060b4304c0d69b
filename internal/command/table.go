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

// optionalColumns are the columns that a list gives up on a narrow terminal, in
// this order.
var optionalColumns = []string{"SIZE", "ACCOUNT", "DUE", "FIELD", "CONSUMER"}

// list prints a table whose last columns, as many as texts, are of any length. On a
// terminal these go to lines of their own below each row, and so do columns for which
// there is no room. Nothing is cut: the terminal wraps lines that are too long.
func (c *console) list(texts int, rows [][]string) {
	if c.width == 0 {
		c.table(rows...)
		return
	}
	header := rows[0][:len(rows[0])-texts]
	fixed := make([][]string, len(rows))
	for n, row := range rows {
		fixed[n] = row[:len(header)]
	}
	widths, total := columns(fixed)
	shown := slices.Repeat([]bool{true}, len(header))
	for _, name := range optionalColumns {
		if i := slices.Index(header, name); i >= 0 && total > c.width {
			shown[i] = false
			total -= widths[i] + 2
		}
	}
	for n, row := range rows {
		var line strings.Builder
		var below []string
		for i, cell := range fixed[n] {
			switch {
			case shown[i]:
				fmt.Fprintf(&line, "%-*s  ", widths[i], visible(cell))
			case cell != "-":
				below = append(below, strings.ToLower(header[i])+" "+cell)
			}
		}
		c.printf("%s\n", strings.TrimRight(line.String(), " "))
		if n == 0 {
			continue
		}
		for _, text := range append([]string{strings.Join(below, ", ")}, row[len(header):]...) {
			if text != "" {
				c.printf("    %s\n", text)
			}
		}
	}
}
