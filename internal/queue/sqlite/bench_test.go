package sqlite

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

var large = flag.Bool("large", false, "also run tests that take minutes")

// batch returns a delivery of n events of 400 bytes, of as many conversations.
func batch(name string, n int) []queue.Record {
	records := make([]queue.Record, n)
	body := []byte(strings.Repeat("x", 400))
	for i := range records {
		id := fmt.Sprintf("instagram/17841400000000001/comments/%s-%d", name, i)
		records[i] = record(id, "17841400000000001/"+id)
		records[i].Body = body
	}
	return records
}

// BenchmarkAcceptBatch accepts a delivery of 1000 events.
func BenchmarkAcceptBatch(b *testing.B) {
	s := newStore(b)
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		records := batch(fmt.Sprint(n), 1000)
		b.StartTimer()
		accept(b, s, records...)
	}
	b.ReportMetric(float64(n)*1000/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAcceptHalfKnown accepts deliveries of 1000 events of which half are duplicates.
func BenchmarkAcceptHalfKnown(b *testing.B) {
	s := newStore(b)
	known := batch("known", 1000)
	accept(b, s, known...)
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		records := append(batch(fmt.Sprint(n), 500), known[:500]...)
		b.StartTimer()
		accept(b, s, records...)
	}
	b.ReportMetric(float64(n)*1000/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAcceptOne accepts deliveries of one event from 64 goroutines.
func BenchmarkAcceptOne(b *testing.B) {
	s := newStore(b)
	var n atomic.Int64
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			accept(b, s, batch(fmt.Sprint(n.Add(1)), 1)...)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSettle leases and settles events by 64 goroutines.
func BenchmarkSettle(b *testing.B) {
	s := newStore(b)
	for n := 0; n < b.N; n += 1000 {
		accept(b, s, batch(fmt.Sprint(n), 1000)...)
	}
	b.ResetTimer()
	for left := b.N; left > 0; {
		events := due(b, s, min(64, left))
		left -= len(events)
		var all sync.WaitGroup
		for _, e := range events {
			all.Go(func() { settle(b, s, e, queue.Outcome{State: queue.Delivered}) })
		}
		all.Wait()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// inUse returns the bytes of the heap.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMillionWaiting looks at the memory that a million waiting events need, most of them
// of conversations that have one before them.
func TestMillionWaiting(t *testing.T) {
	if testing.Short() || !*large {
		t.Skip("skipped: this takes long, and is run with -large")
	}
	s := newStore(t)
	before := inUse()
	const total = 1_000_000
	for n := 0; n < total; n += 1000 {
		records := batch(fmt.Sprint(n), 1000)
		for i := range records {
			records[i].Conversation = fmt.Sprint(i % 10)
		}
		accept(t, s, records...)
	}
	t.Logf("%d KiB more after accepting", (inUse()-before)>>10)
	start := time.Now()
	if events := due(t, s, 10); len(events) != 10 {
		t.Errorf("%d events are leased, want 10", len(events))
	}
	if events := due(t, s, 10); len(events) != 0 {
		t.Errorf("%d more events are leased", len(events))
	}
	t.Logf("leased after %s, %d KiB more", time.Since(start), (inUse()-before)>>10)
	if more := inUse() - before; more > 64<<20 {
		t.Errorf("%d MiB more are in use", more>>20)
	}
}

// TestMillionRetried looks at the memory that a million conversations need of which each
// has an event that has failed and another behind it.
func TestMillionRetried(t *testing.T) {
	if testing.Short() || !*large {
		t.Skip("skipped: this takes long, and is run with -large")
	}
	s := newStore(t)
	before := inUse()
	const total, at = 1_000_000, 1000
	for n := 0; n < total; n += at {
		first, second := batch(fmt.Sprint(n, "a"), at), batch(fmt.Sprint(n, "b"), at)
		for i := range second {
			second[i].Conversation = first[i].Conversation
		}
		accept(t, s, append(first, second...)...)
		for left := at; left > 0; {
			events := due(t, s, left)
			left -= len(events)
			var all sync.WaitGroup
			for _, e := range events {
				all.Go(func() { settle(t, s, e, queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour)}) })
			}
			all.Wait()
		}
	}
	if events := due(t, s, 10); len(events) != 0 {
		t.Errorf("%d events are leased that wait for others", len(events))
	}
	if more := inUse() - before; more > 64<<20 {
		t.Errorf("%d MiB more are in use", more>>20)
	} else {
		t.Logf("%d KiB more", more>>10)
	}
	check(t, s)
}
