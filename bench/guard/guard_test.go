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
			most: 1.6, allocations: 10, requests: many, // 1.1 and 2
		},
		{
			name: "a delivery that is put on disk, to one that is checked and answered",
			path: s.concurrently("/file"), yardstick: s.concurrently("/webhook"),
			most: 2.5, allocations: 22, requests: many, // 1.6 and 15
		},
		{
			name: "a batch that the queue accepts, to taking it apart",
			path: s.batch("/queue"), yardstick: s.split(),
			most: 12, allocations: 6_000, requests: 1, // 9.2 and 2200
		},
	} {
		t.Run(g.name, g.run)
	}
}

// The ratio is that of the least costs in so many pairs, of which there may be
// fewer within the time. What else the machine does only adds to costs: it takes
// the caches, and the longer a step, the likelier it is to be interrupted. So
// there are more pairs, up to a limit, while the ratio is too high: on a busy
// machine it falls, and for a path that has become slow it does not.
const (
	pairs    = 101
	duration = 2 * time.Second
	limit    = 30 * time.Second
	warm     = 5 // pairs that do not count
)

func (g guard) run(t *testing.T) {
	least, yardstick := math.Inf(1), math.Inf(1)
	var allocations []float64
	begin := time.Now()
	for n := 1 - warm; ; n++ {
		path, other := g.path(), g.yardstick()
		a, b := costOf(path), costOf(other)
		if n <= 0 {
			continue
		}
		least, yardstick = min(least, a.cpu.Seconds()), min(yardstick, b.cpu.Seconds())
		allocations = append(allocations, (a.allocations-b.allocations)/float64(g.requests))
		took := time.Since(begin)
		enough := n >= pairs || n >= 2*warm && took > duration
		if enough && least/yardstick <= g.most || n >= 4*pairs || took > limit {
			break
		}
	}
	ratio, more := least/yardstick, median(allocations)
	t.Logf("ratio %.2f of at most %g, %.1f allocations more of at most %g, in %d pairs", ratio, g.most, more, g.allocations, len(allocations))
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

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return v[len(v)/2]
}
