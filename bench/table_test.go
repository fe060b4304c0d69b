//go:build linux

package main

import (
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := &table{columns: []string{"a", "b"}, figures: [][]figures{
		{{rate: 100, lost: 1}, {rate: 10}, {rate: 20}},
		{{rate: 50}, {rate: 20}, {rate: 10, lost: 2}},
	}}
	if got := table.ratio("b", "a", rate); got != (spread{0.5, 0.5, 2}) {
		t.Errorf("ratio %v, want 0.5 (0.5–2)", got)
	}
	if got := spreadOf([]float64{4, 1, 3, 2}); got != (spread{2.5, 1, 4}) {
		t.Errorf("spread %v, want 2.5 (1–4)", got)
	}
	if got := table.lost(); got != 3 {
		t.Errorf("%v lost, want 3", got)
	}
	for n, want := range map[float64]string{0: "0", 0.123: "0.12", 12.34: "12.3", 123.4: "123", 54321.9: "54322", 25: "25", math.Inf(1): "–"} {
		if got := number(n); got != want {
			t.Errorf("%v is written %s, want %s", n, got, want)
		}
	}
}

// A threshold that is missed must fail the command.
func TestThresholds(t *testing.T) {
	t.Parallel()
	for _, b := range []struct {
		threshold threshold
		want      bool
	}{
		{threshold{got: one(0.8), want: 0.8}, true},
		{threshold{got: one(0.79), want: 0.8}, false},
		{threshold{got: one(25), most: true, want: 25}, true},
		{threshold{got: one(26), most: true, want: 25}, false},
	} {
		if b.threshold.holds() != b.want {
			t.Errorf("%v, want %t", b.threshold, b.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	table := &table{name: "verify", columns: []string{"a", "b"}, loads: []string{"0 0 0", "1 1 1"}, figures: [][]figures{
		{{rate: 100, events: 100, cpu: 10}, {rate: 200, events: 200, cpu: 10}},
		{{rate: 50, events: 50, cpu: 20}, {rate: 100, events: 100, cpu: 20}},
	}}
	const want = `
### verify

Load before the rounds: 0 0 0; 1 1 1.

| Server | deliveries/s | ratio | events/s | server CPU, µs/delivery | ratio | resident, MiB | loader CPU, µs/delivery | other programs, % of the machine |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
| a | 150 (100–200) | 1 | 150 | 10 (10–10) | 1 | 0 | 0 | 0 |
| b | 75 (50–100) | 0.50 | 75 | 20 (20–20) | 2 | 0 | 0 | 0 |
`
	name := filepath.Join(t.TempDir(), "tables.md")
	for range 2 {
		if err := table.writeMarkdown(name); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want+want {
		t.Errorf("%v, written:\n%s", err, got)
	}
}

// Every threshold must be about a column that is measured.
func TestThresholdsOfResults(t *testing.T) {
	t.Parallel()
	r := results{tables: map[string]*table{"drain": {columns: []string{directly, drained}}}, backlog: new(backlog)}
	for _, c := range comparisons {
		r.tables[c.name] = &table{columns: c.targets}
	}
	for _, table := range r.tables {
		for range table.columns {
			table.figures = append(table.figures, []figures{{rate: 100, events: 1e5, cpu: 10, p50: 1, p99: 2}})
		}
	}
	failed := 0
	for _, b := range r.thresholds() {
		if !b.holds() {
			failed++
		}
	}
	if failed != 2 { // five and ten times Express
		t.Errorf("%d thresholds are missed by servers that are all the same, want 2", failed)
	}
	r.tables["append"].figures[0][0].lost = 1
	if last := r.thresholds()[len(r.thresholds())-1]; last.holds() {
		t.Errorf("an event was lost: %v", last)
	}

	// What was not measured is left out, and not taken to hold.
	few := results{tables: map[string]*table{"accept": {columns: []string{"webhook", "queue"}, figures: [][]figures{{{rate: 100}}, {{rate: 44}}}}}}
	got := few.thresholds()
	if len(got) != 2 || got[0].holds() || !got[1].holds() {
		t.Errorf("of 0.44 of the handler's rate: %v, want one that is missed, and no lost events", got)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	u, err := usageOf(syscall.Getpgrp())
	if err != nil {
		t.Fatal(err)
	}
	if u.resident <= 0 || u.resident < u.anonymous+u.mapped {
		t.Errorf("the group of this process uses %+v", u)
	}
	if _, err := usageOf(-5); err == nil {
		t.Error("a group that cannot be uses something")
	}
}
