//go:build linux && !race

package guard

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guard is a path and its yardstick. Each is a number of steps, which are made
// beforehand; the ratio is that of the CPU time of as many.
type guard struct {
	name            string
	path, yardstick func() (steps func())
	most            float64 // ratio
	allocations     float64 // a request more than the yardstick's, at most
	requests        int     // that the steps are
}

// The bounds leave room for noise, and none for what a handler adds to be twice
// as much. What was measured stands behind each.
func TestGuard(t *testing.T) {
	s := newSite(t)
	for _, g := range []guard{
		{
			name: "a delivery that is checked and answered, to an answer and a bare HMAC",
			path: s.requests("/webhook", signed), yardstick: s.requestsAndHMAC("/respond"),
			most: 1.5, allocations: 4, requests: many, // 1.2 and 1
		},
		{
			name: "a batch that is checked and answered, to an answer and a bare HMAC",
			path: s.again("/webhook", false), yardstick: s.again("/respond", true),
			most: 1.4, allocations: 4, requests: few, // 1.1 and 1
		},
		{
			name: "a refusal, to a delivery that is checked and answered",
			path: s.requests("/webhook", forged), yardstick: s.requests("/webhook", signed),
			most: 1.6, allocations: 10, requests: many, // 1.1 and 4
		},
		{
			name: "a delivery that is put on disk, to one that is checked and answered",
			path: s.concurrently("/file"), yardstick: s.concurrently("/webhook"),
			most: 2, allocations: 22, requests: many, // 1.3 and 15
		},
		{
			name: "a batch that the queue accepts, to taking it apart",
			path: s.batch("/queue"), yardstick: s.split(),
			most: 12, allocations: 6_000, requests: 1, // 8.5 and 2200
		},
	} {
		t.Run(g.name, g.run)
	}
}

// The ratio is that of the least costs in a window, and of all windows the lower quartile.
// What else the machine does only adds to costs: it takes the caches, and the longer a step,
// the likelier it is to be interrupted. A window is so short that both its costs were paid at
// one speed of the processor, which changes. While the ratio is too high, there are more
// windows, up to a limit: on a busy machine it falls, and for a path that has become slow
// it does not.
const (
	window   = 10 // pairs
	windows  = 10 // fewer if they take longer than duration
	duration = 2 * time.Second
	limit    = 30 * time.Second
	warm     = 5 // pairs that do not count
)

func (g guard) run(t *testing.T) {
	for range warm {
		g.path()()
		g.yardstick()()
	}
	var ratios, allocations []float64
	begin := time.Now()
	for {
		least, yardstick := math.Inf(1), math.Inf(1)
		for range window {
			path, other := g.path(), g.yardstick()
			a, b := costOf(path), costOf(other)
			least, yardstick = min(least, a.cpu.Seconds()), min(yardstick, b.cpu.Seconds())
			allocations = append(allocations, (a.allocations-b.allocations)/float64(g.requests))
		}
		ratios = append(ratios, least/yardstick)
		n, took := len(ratios), time.Since(begin)
		enough := n >= windows || n >= 3 && took > duration
		if enough && quantile(ratios, 0.25) <= g.most || n >= 4*windows || took > limit {
			break
		}
	}
	ratio, more := quantile(ratios, 0.25), quantile(allocations, 0.5)
	t.Logf("ratio %.2f of at most %g, %.1f allocations more of at most %g, in %d windows", ratio, g.most, more, g.allocations, len(ratios))
	if ratio > g.most {
		t.Errorf("the ratio is %.2f, want at most %g", ratio, g.most)
	}
	if more > g.allocations {
		t.Errorf("there are %.1f allocations more, want at most %g", more, g.allocations)
	}
}

// cost is what this process has spent: on all of its threads, and not while
// others had the processor.
type cost struct {
	cpu         time.Duration
	allocations float64
}

func costOf(steps func()) cost {
	var before, after unix.Rusage
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before) // cannot fail for this process
	steps()
	_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
	runtime.ReadMemStats(&to)
	return cost{
		time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()),
		float64(to.Mallocs - from.Mallocs),
	}
}

func quantile(values []float64, q float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return v[int(q*float64(len(v)))]
}
