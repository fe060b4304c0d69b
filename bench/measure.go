//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// figures are what one turn of a server came to.
type figures struct {
	rate      float64 // deliveries a second
	events    float64 // events a second
	beside    float64 // answers a second to the background load
	cpu       float64 // of the server, in microseconds a delivery, the background load included
	loader    float64 // of the loader and the application, likewise
	p50, p99  float64 // milliseconds
	resident  float64 // MiB
	elsewhere float64 // part of the machine that other programs took
	wrong     float64 // answers that are neither 200 nor, to forgeries, refusals
	lost      float64 // events that were acknowledged and then not found
}

// cpuOfEvent is 0 if there is one event a delivery.
func (f figures) cpuOfEvent() float64 {
	if f.events == f.rate {
		return 0
	}
	return f.cpu * (f.rate + f.beside) / f.events
}

// meter takes what a server uses at the beginning and the end of a measurement.
type meter struct {
	server  *server
	profile string // file for a profile of what is measured; "": none
	window  time.Duration
	marks   []mark
	err     error
	done    chan error // of the profile
}

type mark struct {
	at           time.Time
	usage        usage
	own, machine time.Duration
}

func (m *meter) mark() {
	u, err := m.server.usage()
	if err != nil {
		m.err = err
	}
	m.marks = append(m.marks, mark{time.Now(), u, own(), machine()})
	if m.profile == "" || !m.server.target.isCaddy() {
		return
	}
	if m.done == nil {
		m.done = make(chan error, 1)
		what := fmt.Sprintf("profile?seconds=%d", max(1, int(m.window.Seconds())))
		go func() { m.done <- m.server.profile(what, m.profile) }()
	} else if err := <-m.done; err != nil {
		m.err = err
	}
}

// figures returns the figures for so many deliveries between the marks, and so
// many beside them.
func (m *meter) figures(deliveries, events, beside int) (f figures, err error) {
	if m.err != nil {
		return f, m.err
	}
	return between(m.marks[0], m.marks[1], deliveries, events, beside), nil
}

// between returns the figures for so many deliveries between two marks.
func between(from, to mark, deliveries, events, beside int) (f figures) {
	seconds, n := to.at.Sub(from.at).Seconds(), float64(deliveries)
	cpu, own := to.usage.cpu-from.usage.cpu, to.own-from.own
	f.rate, f.events, f.beside = n/seconds, float64(events)/seconds, float64(beside)/seconds
	n += float64(beside)
	f.cpu, f.loader = cpu.Seconds()*1e6/n, own.Seconds()*1e6/n
	f.resident = mebibytes(to.usage.resident)
	others := to.machine - from.machine - cpu - own
	f.elsewhere = max(0, others.Seconds()/seconds/float64(runtime.NumCPU()))
	return f
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// interleave gives each column a turn in each round, and prints and returns the
// table of what came of it.
func (b *bench) interleave(name string, columns []string, turn func(column, round int) (figures, error)) (*table, error) {
	t := &table{name: name, columns: columns, figures: make([][]figures, len(columns))}
	for round := range b.rounds {
		t.loads = append(t.loads, loadAverage())
		fmt.Printf("round %d of %d, load %s\n", round+1, b.rounds, t.loads[round])
		for i, name := range columns {
			unix.Sync() // what the last one has left is not this one's burden
			runtime.GC()
			f, err := turn(i, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if b.verbose {
				fmt.Printf("  %s: %s a second, %s µs, %.0f%% elsewhere\n", name, number(f.rate), number(f.cpu), 100*f.elsewhere)
			}
			t.figures[i] = append(t.figures[i], f)
		}
	}
	t.print()
	if b.markdown == "" {
		return t, nil
	}
	return t, t.writeMarkdown(b.markdown)
}

func (b *bench) meter(s *server) *meter {
	m := &meter{server: s, window: b.window}
	if b.profile != "" {
		m.profile = filepath.Join(b.profile, s.target.name+".pprof")
	}
	return m
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
