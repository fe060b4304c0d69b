//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
)

// threshold is what a figure must come to.
type threshold struct {
	what string
	got  *spread // nil: it was not measured
	unit string
	most bool // else at least
	note bool // nothing is wanted
	want float64
	goal float64 // better than what must hold; 0: none
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
	verdict, sign, goal := "FAIL", "≥", ""
	if t.holds() {
		verdict = "pass"
	}
	if t.most {
		sign = "≤"
	}
	if t.goal > 0 {
		goal = fmt.Sprintf(" (target %g)", t.goal)
	}
	return fmt.Sprintf("%s  %-66s %s%s, want %s %g%s%s", verdict, t.what, t.got, t.unit, sign, t.want, t.unit, goal)
}

// Figures that are compared.
func rate(f figures) float64   { return f.rate }
func events(f figures) float64 { return f.events }
func cpu(f figures) float64    { return f.cpu }
func p50(f figures) float64    { return f.p50 }
func p99(f figures) float64    { return f.p99 }
func wrong(f figures) float64  { return f.wrong }

func one(value float64) *spread { return new(spreadOf([]float64{value})) }

// checkThresholds runs the comparisons with these names, or all, and prints what must
// hold of them. It reports whether all does.
func (b *bench) checkThresholds(names []string) (bool, error) {
	if b.targets != nil || b.conns > 0 || b.events > 0 {
		return false, errors.New("what must hold is about the usual servers, connections and events")
	}
	r, err := b.run(names)
	if err != nil {
		return false, err
	}
	fmt.Println()
	all := true
	for _, t := range r.thresholds() {
		fmt.Println(t)
		all = all && t.holds()
	}
	return all, nil
}

// results are what comparisons came to.
type results struct {
	tables  map[string]*table
	backlog *backlog // nil: it was not measured
}

// measured reports whether a comparison was run with these servers.
func (r results) measured(comparison string, columns ...string) bool {
	t := r.tables[comparison]
	return t != nil && !slices.ContainsFunc(columns, func(name string) bool { return !slices.Contains(t.columns, name) })
}

// thresholds returns what must hold of what was measured. A note is there to be read
// beside it.
func (r results) thresholds() []threshold {
	ratio := func(comparison, column, to string, value func(figures) float64) *spread {
		if !r.measured(comparison, column, to) {
			return nil
		}
		return new(r.tables[comparison].ratio(column, to, value))
	}
	of := func(comparison, column string, value func(figures) float64) *spread {
		if !r.measured(comparison, column) {
			return nil
		}
		return new(spreadOf(r.tables[comparison].of(column, value)))
	}
	all := []threshold{
		{what: "checked and answered / Caddy's respond", got: ratio("verify", "webhook", "respond", rate), want: 0.95},
		{what: "CPU of Caddy's respond / of checked and answered", got: ratio("verify", "respond", "webhook", cpu), want: 0.95},
		{what: "checked and answered / by nginx with njs", got: ratio("verify", "webhook", "njs", rate), want: 1},
		{what: "the same, of 20 KB", got: ratio("verify-20k", "webhook", "njs", rate), want: 1},
		{what: "the same, of 1000 events", got: ratio("verify-1000", "webhook", "njs", rate), want: 1},
		{what: "checked and answered / by nginx with Lua", got: ratio("verify", "webhook", "lua", rate), note: true},
		{what: "checked and handed on / Caddy's reverse_proxy", got: ratio("proxy", "webhook-proxy", "proxy", rate), want: 0.95},
		{what: "on disk / by Express with a sync of each event", got: ratio("append", "file", "express-fsync", rate), want: 5},
		{what: "on disk / written by nginx with njs, without a sync", got: ratio("append", "file", "njs-append", rate), want: 1},
		{what: "CPU of a refusal / of an accepted delivery", got: ratio("refuse", "webhook-forged", "webhook", cpu), most: true, want: 1.2},
		{what: "CPU of a refusal / of Caddy's respond", got: ratio("refuse", "webhook-forged", "respond", cpu), note: true},
		{what: "honest p99 in a flood of forgeries / without", got: ratio("flood", "webhook-forging", "webhook", p99), most: true, want: 3},
		{what: "honest p99 among as many honest ones / without", got: ratio("flood", "webhook-honest", "webhook", p99), note: true},

		{what: "accepted by the queue / answered without it", got: ratio("accept", "queue", "webhook", rate), want: 0.45, goal: 0.55},
		{what: "accepted by the queue / by Express with a sync of each event", got: ratio("accept", "queue", "express-fsync", rate), want: 10},
		{what: "events in batches of 1000 accepted by the queue", got: of("batches", "queue", events), unit: "/s", want: 60_000, goal: 80_000},
		{what: "events in such batches, with ten million that wait", got: of("ten-million", "pending-10000000", events), unit: "/s", want: 40_000, goal: 60_000},
		{what: "the same, with ten million that were delivered and are kept", got: of("ten-million", "known-10000000", events), unit: "/s", want: 40_000, goal: 60_000},
		{what: "1000 events accepted, median", got: of("batch", "queue", p50), unit: " ms", most: true, want: 25},
		{what: "p99 of 3000 deliveries a second, delivered and soon forgotten", got: of("latency", "settling", p99), unit: " ms", most: true, want: 25},
		{what: "deliveries of these that were not accepted", got: of("latency", "settling", wrong), most: true, want: 0},
		{what: "CPU of accepting for three consumers / for one", got: ratio("consumers", "consumers", "queue", cpu), most: true, want: 1.5},
		{what: "drained / driven through reverse_proxy", got: ratio("drain", drained, directly, rate), want: 1},
	}
	all = slices.DeleteFunc(all, func(t threshold) bool { return t.got == nil })
	lost := 0.0
	if m := r.backlog; m != nil {
		lost = float64(m.lost)
		all = append(all,
			threshold{what: "memory above an idle gateway, with a million events just accepted", got: one(m.filled), unit: " MiB", most: true, want: 64},
			threshold{what: "the same, started with a million events, at rest and delivering", got: one(m.started), unit: " MiB", most: true, want: 64},
			threshold{what: "first of a million delivered, after a stop", got: one(m.clean.Seconds()), unit: " s", most: true, want: 5},
			threshold{what: "first of a million delivered, after a kill", got: one(m.killed.Seconds()), unit: " s", most: true, want: 5},
			threshold{what: "the same, the file not in the cache of the system", got: one(m.crashed.Seconds()), unit: " s", most: true, want: 5})
	}
	for _, t := range r.tables {
		lost += t.lost()
	}
	return append(all, threshold{what: "lost events", got: one(lost), most: true, want: 0})
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
