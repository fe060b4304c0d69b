//go:build linux

package main

import "fmt"

// bar is what a figure must come to.
type bar struct {
	what string
	got  spread
	unit string
	most bool // else at least
	want float64
}

func (b bar) holds() bool {
	if b.most {
		return b.got.median <= b.want
	}
	return b.got.median >= b.want
}

func (b bar) String() string {
	verdict, sign := "FAIL", "≥"
	if b.holds() {
		verdict = "pass"
	}
	if b.most {
		sign = "≤"
	}
	return fmt.Sprintf("%s  %-66s %s%s, want %s %g%s", verdict, b.what, b.got, b.unit, sign, b.want, b.unit)
}

func rate(f figures) float64 { return f.rate }

func one(value float64) spread { return spreadOf([]float64{value}) }

// checkBars runs all comparisons and prints what must hold. It reports whether
// all does.
func (b *bench) checkBars() (bool, error) {
	var lost float64
	var bars []bar
	for _, c := range comparisons {
		t, err := b.compare(c)
		if err != nil {
			return false, err
		}
		lost += t.lost()
		switch c.name {
		case "accept":
			bars = append(bars,
				bar{what: "accepted by the queue / answered without it", got: t.ratio("queue", "webhook", rate), want: 0.8},
				bar{what: "accepted by the queue / by Express with a sync of each event", got: t.ratio("queue", "express-fsync", rate), want: 10})
		case "batch":
			p50 := spreadOf(t.of("queue", func(f figures) float64 { return f.p50 }))
			bars = append(bars, bar{what: "1000 events accepted, median", got: p50, unit: " ms", most: true, want: 25})
		}
	}
	t, err := b.drain()
	if err != nil {
		return false, err
	}
	lost += t.lost()
	m, err := b.million()
	if err != nil {
		return false, err
	}
	bars = append(bars,
		bar{what: "drained / driven through reverse_proxy", got: t.ratio(drained, directly, rate), want: 0.8},
		bar{what: "memory above an idle gateway, with a million events just accepted", got: one(m.filled), unit: " MiB", most: true, want: 64},
		bar{what: "the same, started with a million events, at rest and delivering", got: one(m.started), unit: " MiB", most: true, want: 64},
		bar{what: "first of a million delivered, after a stop", got: one(m.clean.Seconds()), unit: " s", most: true, want: 5},
		bar{what: "first of a million delivered, after a kill", got: one(m.killed.Seconds()), unit: " s", most: true, want: 5},
		bar{what: "the same, the file not in the cache of the system", got: one(m.crashed.Seconds()), unit: " s", most: true, want: 5},
		bar{what: "lost events", got: one(lost + float64(m.lost)), most: true, want: 0})

	fmt.Println()
	all := true
	for _, b := range bars {
		fmt.Println(b)
		all = all && b.holds()
	}
	return all, nil
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
