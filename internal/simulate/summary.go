package simulate

import (
	"maps"
	"math/bits"
	"sync"
	"time"
)

// Summary tells how a run went.
type Summary struct {
	// Deliveries is the number of deliveries that were to be sent, duplicates
	// and forged ones included.
	Deliveries int `json:"deliveries"`

	// Duplicates is how many of them repeated one that was sent before.
	Duplicates int `json:"duplicates,omitempty"`

	// Accepted is how many authentic deliveries were answered with 200 in the
	// end, and Failed how many were not: refused, given up, or withheld.
	Accepted int `json:"accepted"`
	Failed   int `json:"failed"`

	// Forged is the number of deliveries with a wrong signature, ForgedAccepted
	// how many of them were answered with 200 all the same, and ForgedRefused how
	// many with another status.
	Forged         int `json:"forged,omitempty"`
	ForgedAccepted int `json:"forged_accepted,omitempty"`
	ForgedRefused  int `json:"forged_refused,omitempty"`

	// Malformed is the number of lines of an event file that hold no event, such
	// as one that a crash cut off. They were left out.
	Malformed int `json:"malformed,omitempty"`

	// Incomplete says why an event file could not be read to its end. What could
	// be read was sent.
	Incomplete string `json:"incomplete,omitempty"`

	// Unfinished is how many deliveries the end of the run cut off.
	Unfinished int `json:"unfinished,omitempty"`

	// Acknowledged is the number of events in accepted deliveries; those of a
	// duplicate count again.
	Acknowledged int `json:"acknowledged"`

	// Requests is how many requests were sent, Retries included, and Bytes the
	// size of their bodies together.
	Requests int   `json:"requests"`
	Retries  int   `json:"retries,omitempty"`
	Bytes    int64 `json:"bytes"`

	// Answers is the number of requests by the label of their outcome.
	Answers map[string]int `json:"answers"`

	// Withheld is how many deliveries were not sent, or not sent again,
	// because their accounts were unsubscribed.
	Withheld int `json:"withheld,omitempty"`

	// Alerts and Unsubscribed are the numbers of notices.
	Alerts       int `json:"alerts,omitempty"`
	Unsubscribed int `json:"unsubscribed,omitempty"`

	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`

	// Latency is how long answers took. It is nil if there were none.
	Latency *Latency `json:"latency,omitempty"`
}

// Latency is how long requests took that were answered, in milliseconds. The
// percentiles are exact to 3 %.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// tally collects a Summary from many goroutines.
type tally struct {
	mu      sync.Mutex
	summary Summary
	times   histogram
	start   time.Time
}

func newTally() *tally {
	return &tally{start: time.Now(), summary: Summary{Answers: make(map[string]int)}}
}

func (t *tally) note(change func(*Summary)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.summary)
}

// begin records a delivery that is to be sent.
func (t *tally) begin(s sending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.Deliveries++
	if s.duplicate {
		t.summary.Duplicates++
	}
	if s.forged {
		t.summary.Forged++
	}
}

// forged records what became of a forged delivery.
func (t *tally) forged(o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case o.OK():
		t.summary.ForgedAccepted++
	case o.Status > 0:
		t.summary.ForgedRefused++
	}
}

// request records a request and what became of it.
func (t *tally) request(o Outcome, size int, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summary.Requests++
	t.summary.Bytes += int64(size)
	if again {
		t.summary.Retries++
	}
	t.summary.Answers[o.Label()]++
	if o.Status > 0 {
		t.times.add(o.Latency)
	}
}

// end returns the summary so far.
func (t *tally) end() *Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.summary
	s.Answers = maps.Clone(s.Answers)
	s.Seconds = time.Since(t.start).Seconds()
	if t.times.total > 0 {
		s.Latency = &Latency{t.times.percentile(50), t.times.percentile(90), t.times.percentile(99), milliseconds(t.times.most)}
	}
	return &s
}

// histogram counts durations in buckets whose width grows with them, so that
// its size does not depend on how many there are.
type histogram struct {
	counts [64 * steps]int
	total  int
	most   time.Duration
}

// steps is the number of buckets for durations up to twice as long as others.
const steps = 32

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.most = max(h.most, d)
}

// bucket returns the bucket of a number of nanoseconds.
func bucket(n uint64) int {
	if n < steps {
		return int(n)
	}
	shift := bits.Len64(n) - bits.Len64(steps)
	return shift*steps + int(n>>shift)
}

// percentile returns a duration, in milliseconds, that p per cent of all do not
// exceed.
func (h *histogram) percentile(p int) float64 {
	rank := (h.total*p + 99) / 100
	for b, n := range h.counts {
		if rank -= n; rank <= 0 {
			shift := max(b/steps-1, 0)
			top := time.Duration(uint64(b-shift*steps+1)<<shift - 1)
			return milliseconds(min(top, h.most))
		}
	}
	return milliseconds(h.most)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
