package file

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

var concurrencies = []int{1, 16, 64, 256}

// inParallel runs b.N calls of f in n goroutines.
func inParallel(b *testing.B, n int, f func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkDurable stores deliveries of one event, from concurrent senders.
func BenchmarkDurable(b *testing.B) {
	body := sample.New(1).Delivery(sample.Compact, 1, "messages")
	for _, n := range concurrencies {
		b.Run(fmt.Sprintf("concurrent=%d", n), func(b *testing.B) {
			h := provisioned(b, filepath.Join(b.TempDir(), "events.jsonl"), func(h *Handler) { h.Format = formatCloudEvents })
			inParallel(b, n, func() error { return h.store(&event.Delivery{Body: body}) })
		})
	}
}

// BenchmarkSyncEach is what BenchmarkDurable is held against: each line is
// written and synced by itself.
func BenchmarkSyncEach(b *testing.B) {
	body := sample.New(1).Delivery(sample.Compact, 1, "messages")
	for _, n := range concurrencies {
		b.Run(fmt.Sprintf("concurrent=%d", n), func(b *testing.B) {
			f, err := os.OpenFile(filepath.Join(b.TempDir(), "events.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var mu sync.Mutex
			inParallel(b, n, func() error {
				mu.Lock()
				defer mu.Unlock()
				if _, err := f.Write(body); err != nil {
					return err
				}
				return f.Sync()
			})
		})
	}
}
