//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// table holds the figures of servers, by column and round.
type table struct {
	name    string // of the comparison
	columns []string
	figures [][]figures
	loads   []string // of the machine, before each round
}

// row is a line of a table.
type row struct {
	name     string
	ratio    bool // to the first column
	optional bool // is left out if all figures are 0
	value    func(figures) float64
}

var rows = []row{
	{"deliveries/s", true, false, func(f figures) float64 { return f.rate }},
	{"events/s", false, false, func(f figures) float64 { return f.events }},
	{"answers to others/s", false, true, func(f figures) float64 { return f.beside }},
	{"server CPU, µs/delivery", true, false, func(f figures) float64 { return f.cpu }},
	{"server CPU, µs/event", false, true, func(f figures) float64 { return f.cpuOfEvent() }},
	{"p50, ms", false, true, func(f figures) float64 { return f.p50 }},
	{"p99, ms", true, true, func(f figures) float64 { return f.p99 }},
	{"resident, MiB", false, false, func(f figures) float64 { return f.resident }},
	{"loader CPU, µs/delivery", false, false, func(f figures) float64 { return f.loader }},
	{"other programs, % of the machine", false, false, func(f figures) float64 { return 100 * f.elsewhere }},
	{"wrong answers", false, true, func(f figures) float64 { return f.wrong }},
	{"lost events", false, true, func(f figures) float64 { return f.lost }},
}

// spread is a median with the least and the greatest value.
type spread struct{ median, least, greatest float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (median + v[len(v)/2-1]) / 2
	}
	return spread{median, v[0], v[len(v)-1]}
}

func (s spread) String() string {
	return number(s.median) + " (" + number(s.least) + "–" + number(s.greatest) + ")"
}

// number writes a number with three digits, or more if it is large. A ratio to 0 is none.
func number(n float64) string {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return "–"
	}
	decimals := 0
	for size := max(math.Abs(n), 1); size < 100 && n != math.Trunc(n); size *= 10 {
		decimals++
	}
	return strconv.FormatFloat(n, 'f', decimals, 64)
}

// of returns a figure of a column, by round.
func (t *table) of(column string, value func(figures) float64) []float64 {
	var values []float64
	for _, f := range t.figures[slices.Index(t.columns, column)] {
		values = append(values, value(f))
	}
	return values
}

// ratio returns a figure of one column divided by that of another in the same
// round.
func (t *table) ratio(column, to string, value func(figures) float64) spread {
	ratios := t.of(column, value)
	for i, divisor := range t.of(to, value) {
		ratios[i] /= divisor
	}
	return spreadOf(ratios)
}

// print prints medians, with the least and the greatest value, and ratios to the
// first column.
func (t *table) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\n", strings.Join(t.columns, "\t"))
	for _, r := range rows {
		if r.optional && t.isZero(r) {
			continue
		}
		cells, ratios := []string{r.name}, []string{"  ratio"}
		for _, column := range t.columns {
			cells = append(cells, spreadOf(t.of(column, r.value)).String())
			ratios = append(ratios, t.ratioCell(column, r))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
		if r.ratio {
			fmt.Fprintln(w, strings.Join(ratios, "\t"))
		}
	}
	_ = w.Flush() // as any writing to the terminal
}

// ratioCell is empty for a column that has no such figure.
func (t *table) ratioCell(column string, r row) string {
	if spreadOf(t.of(column, r.value)).greatest == 0 {
		return ""
	}
	return t.ratio(column, t.columns[0], r.value).String()
}

func (t *table) isZero(r row) bool {
	for _, column := range t.columns {
		if spreadOf(t.of(column, r.value)).greatest != 0 {
			return false
		}
	}
	return true
}
