package queue

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// registerMetrics registers what all queues count together with the registry of a config.
func registerMetrics(registry *prometheus.Registry) error {
	return metrics.Register(registry, append(queue.Collectors(), gauges{})...)
}

// gauges shows what the open stores hold at the time of asking.
type gauges struct{}

func gauge(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("caddy", "instagram", name), help, []string{"store"}, nil)
}

var (
	pendingGauge  = gauge("queue_pending_events", "Events that wait for delivery.")
	bytesGauge    = gauge("queue_pending_bytes", "Size of the events that wait for delivery.")
	flightGauge   = gauge("queue_in_flight_events", "Events that are being delivered, or are about to be.")
	deadGauge     = gauge("queue_dead_events", "Dead letters that are kept.")
	oldestGauge   = gauge("queue_oldest_seconds", "Age of the oldest event that waits for delivery, 0 if there is none.")
	refusingGauge = gauge("queue_refusing_since_timestamp_seconds", "Since when deliveries are refused because they cannot be stored, 0 if they are not.")
)

// Describe implements prometheus.Collector.
func (gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{pendingGauge, bytesGauge, flightGauge, deadGauge, oldestGauge, refusingGauge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (gauges) Collect(ch chan<- prometheus.Metric) {
	for _, store := range Stores() {
		show := func(d *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, store.Name())
		}
		refusing := 0.0
		if since := store.RefusingSince(); !since.IsZero() {
			refusing = float64(since.UnixMilli()) / 1000
		}
		show(refusingGauge, refusing)
		all, err := store.Stats(context.Background())
		stats := queue.StatsOf(all, queue.DefaultConsumer)
		if err != nil {
			continue
		}
		show(pendingGauge, float64(stats.Pending))
		show(bytesGauge, float64(stats.PendingBytes))
		show(flightGauge, float64(stats.InFlight))
		show(deadGauge, float64(stats.Dead))
		age := 0.0
		if !stats.Oldest.IsZero() {
			age = max(0, time.Since(stats.Oldest).Seconds())
		}
		show(oldestGauge, age)
	}
}
