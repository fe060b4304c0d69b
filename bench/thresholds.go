//go:build linux

package main

import (
	"errors"
	"fmt"
)

// threshold is what a figure must come to.
type threshold struct {
	what string
	got  spread
	unit string
	most bool // else at least
	note bool // nothing is wanted
	want float64
}

func (t threshold) holds() bool {
	if t.note {
		return true
	}
	if t.most {
		return t.got.median <= t.want
	}
	return t.got.median >= t.want
}

func (t threshold) String() string {
	if t.note {
		return fmt.Sprintf("note  %-66s %s%s", t.what, t.got, t.unit)
	}
	verdict, sign := "FAIL", "≥"
	if t.holds() {
		verdict = "pass"
	}
	if t.most {
		sign = "≤"
	}
	return fmt.Sprintf("%s  %-66s %s%s, want %s %g%s", verdict, t.what, t.got, t.unit, sign, t.want, t.unit)
}

// Figures that are compared.
func rate(f figures) float64 { return f.rate }
func cpu(f figures) float64  { return f.cpu }
func p99(f figures) float64  { return f.p99 }

func one(value float64) spread { return spreadOf([]float64{value}) }

// checkThresholds runs all comparisons and prints what must hold. It reports whether
// all does.
func (b *bench) checkThresholds() (bool, error) {
	if b.targets != nil || b.conns > 0 || b.events > 0 {
		return false, errors.New("what must hold is about the usual servers, connections and events")
	}
	r := results{tables: make(map[string]*table)}
	for _, c := range comparisons {
		if c.special {
			continue
		}
		t, err := b.compare(c)
		if err != nil {
			return false, fmt.Errorf("%s: %w", c.name, err)
		}
		r.tables[c.name] = t
	}
	var err error
	if r.tables["drain"], err = b.drain(); err != nil {
		return false, fmt.Errorf("drain: %w", err)
	}
	if r.backlog, err = b.backlog(); err != nil {
		return false, fmt.Errorf("backlog: %w", err)
	}

	fmt.Println()
	all := true
	for _, t := range r.thresholds() {
		fmt.Println(t)
		all = all && t.holds()
	}
	return all, nil
}

// results are what all comparisons came to.
type results struct {
	tables  map[string]*table
	backlog *backlog
}

// thresholds returns what must hold. A note is there to be read beside it.
func (r results) thresholds() []threshold {
	ratio := func(comparison, column, to string, value func(figures) float64) spread {
		return r.tables[comparison].ratio(column, to, value)
	}
	of := func(comparison, column string, value func(figures) float64) spread {
		return spreadOf(r.tables[comparison].of(column, value))
	}
	lost := float64(r.backlog.lost)
	for _, t := range r.tables {
		lost += t.lost()
	}
	m := r.backlog
	return []threshold{
		{what: "checked and answered / Caddy's respond", got: ratio("verify", "webhook", "respond", rate), want: 0.95},
		{what: "CPU of Caddy's respond / of checked and answered", got: ratio("verify", "respond", "webhook", cpu), want: 0.95},
		{what: "checked and answered / by nginx with njs", got: ratio("verify", "webhook", "njs", rate), want: 1},
		{what: "the same, of 20 KB", got: ratio("verify-20k", "webhook", "njs", rate), want: 1},
		{what: "the same, of 1000 events", got: ratio("verify-1000", "webhook", "njs", rate), want: 1},
		{what: "checked and answered / by nginx with Lua", got: ratio("verify", "webhook", "lua", rate), note: true},
		{what: "checked and handed on / Caddy's reverse_proxy", got: ratio("proxy", "webhook-proxy", "proxy", rate), want: 0.95},
		{what: "on disk / by Express with a sync of each event", got: ratio("append", "file", "express-fsync", rate), want: 5},
		{what: "on disk / written by nginx with njs, without a sync", got: ratio("append", "file", "njs-append", rate), want: 1},
		{what: "events in batches of 1000 accepted by the queue", got: of("batches", "queue", func(f figures) float64 { return f.events }), unit: "/s", want: 100_000},
		{what: "CPU of a refusal / of an accepted delivery", got: ratio("refuse", "webhook-forged", "webhook", cpu), most: true, want: 1.2},
		{what: "CPU of a refusal / of Caddy's respond", got: ratio("refuse", "webhook-forged", "respond", cpu), note: true},
		{what: "honest p99 in a flood of forgeries / without", got: ratio("flood", "webhook-forging", "webhook", p99), most: true, want: 3},
		{what: "honest p99 among as many honest ones / without", got: ratio("flood", "webhook-honest", "webhook", p99), note: true},

		{what: "accepted by the queue / answered without it", got: ratio("accept", "queue", "webhook", rate), want: 0.8},
		{what: "accepted by the queue / by Express with a sync of each event", got: ratio("accept", "queue", "express-fsync", rate), want: 10},
		{what: "1000 events accepted, median", got: of("batch", "queue", func(f figures) float64 { return f.p50 }), unit: " ms", most: true, want: 25},
		{what: "drained / driven through reverse_proxy", got: ratio("drain", drained, directly, rate), want: 0.8},
		{what: "memory above an idle gateway, with a million events just accepted", got: one(m.filled), unit: " MiB", most: true, want: 64},
		{what: "the same, started with a million events, at rest and delivering", got: one(m.started), unit: " MiB", most: true, want: 64},
		{what: "first of a million delivered, after a stop", got: one(m.clean.Seconds()), unit: " s", most: true, want: 5},
		{what: "first of a million delivered, after a kill", got: one(m.killed.Seconds()), unit: " s", most: true, want: 5},
		{what: "the same, the file not in the cache of the system", got: one(m.crashed.Seconds()), unit: " s", most: true, want: 5},
		{what: "lost events", got: one(lost), most: true, want: 0},
	}
}

// lost adds up what all servers have lost.
func (t *table) lost() (sum float64) {
	for _, column := range t.columns {
		for _, n := range t.of(column, func(f figures) float64 { return f.lost }) {
			sum += n
		}
	}
	return sum
}
