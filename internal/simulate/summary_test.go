package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPercentiles holds the histogram against all values, sorted.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 10, 1000, 20_000} {
		var h histogram
		var all []time.Duration
		for range n {
			d := time.Duration(math.Exp(random.Float64()*12) * float64(10*time.Microsecond))
			h.add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		for _, p := range []int{50, 90, 99, 100} {
			exact := milliseconds(all[(n*p+99)/100-1])
			if got := h.percentile(p); got < exact-0.001 || got > exact*1.032+0.001 {
				t.Errorf("p%d of %d: %f, exactly %f", p, n, got, exact)
			}
		}
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	var h histogram
	for _, d := range []time.Duration{-1, 0, 1, 31, 32, 33, 63, 64, 65, math.MaxInt64} {
		h.add(d)
	}
	if h.total != 10 || h.most != math.MaxInt64 {
		t.Errorf("%d durations, the longest %s", h.total, h.most)
	}
	last := -1
	for n := uint64(0); n < 1<<20; n++ {
		b := bucket(n)
		if b != last && b != last+1 {
			t.Fatalf("%d is in bucket %d, after %d", n, b, last)
		}
		last = b
	}
}

func TestAsExpected(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		summary Summary
		want    bool
	}{
		{Summary{}, true},
		{Summary{Accepted: 3, Forged: 2, Withheld: 0}, true},
		{Summary{Accepted: 3, Failed: 1}, false},
		{Summary{Unfinished: 1}, false},
		{Summary{Forged: 2, ForgedAccepted: 1}, false},
	} {
		if got := tc.summary.AsExpected(); got != tc.want {
			t.Errorf("%+v: %t", tc.summary, got)
		}
	}
}
