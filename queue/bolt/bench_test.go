package bolt

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

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
		if _, err := s.Accept(ctx, records, queue.Admission{Dedupe: 48 * time.Hour}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*1000/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAccept accepts deliveries of one event from many senders.
func BenchmarkAccept(b *testing.B) {
	for _, senders := range []int{1, 64} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			s := newStore(b)
			var n atomic.Int64
			b.SetParallelism(senders / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Accept(ctx, batch(fmt.Sprint(n.Add(1)), 1), queue.Admission{Dedupe: 48 * time.Hour}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkDrain leases and settles a backlog with 32 workers.
func BenchmarkDrain(b *testing.B) {
	s := newStore(b)
	for i := range 1 + b.N/1000 {
		if _, err := s.Accept(ctx, batch(fmt.Sprint(i), 1000), queue.Admission{Dedupe: 48 * time.Hour}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				events, err := s.Lease(ctx, 1)
				if err != nil {
					b.Error(err)
					return
				}
				if err := s.Settle(ctx, events[0], queue.Outcome{State: queue.Delivered}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
}
