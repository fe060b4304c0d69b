//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// writeMarkdown appends the table to a file, with a line for each server and the
// least and greatest value of what says most.
func (t *table) writeMarkdown(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(t.inMarkdown())
	return errors.Join(err, f.Close())
}

func (t *table) inMarkdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\nLoad before the rounds: %s.\n\n|", t.name, strings.Join(t.loads, "; "))
	heads := []string{"Server"}
	var shown []row
	for _, r := range rows {
		if r.optional && t.isZero(r) {
			continue
		}
		shown = append(shown, r)
		if heads = append(heads, r.name); r.ratio && !r.optional {
			heads = append(heads, "ratio")
		}
	}
	b.WriteString(" " + strings.Join(heads, " | ") + " |\n|---" + strings.Repeat("|---:", len(heads)-1) + "|\n")
	for _, column := range t.columns {
		b.WriteString("| " + column + " |")
		for _, r := range shown {
			s := spreadOf(t.of(column, r.value))
			cell := number(s.median)
			if r.ratio && !r.optional {
				cell = s.String() + " | " + number(t.ratio(column, t.columns[0], r.value).median)
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
