package queue

import (
	"slices"
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

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("caddy", "instagram", name), help, append([]string{"store"}, labels...), nil)
}

// Those of a consumer.
var (
	pendingGauge = gauge("queue_pending_events", "Events that wait for delivery.", "consumer")
	bytesGauge   = gauge("queue_pending_bytes", "Size of the events that wait for delivery.", "consumer")
	flightGauge  = gauge("queue_in_flight_events", "Events that are being delivered, or are about to be.", "consumer")
	deadGauge    = gauge("queue_dead_events", "Dead letters that are kept.", "consumer")
	oldestGauge  = gauge("queue_oldest_seconds", "Age of the oldest event that waits for delivery, 0 if there is none.", "consumer")
	pausedGauge  = gauge("queue_paused", "1 if the consumer is paused, else 0.", "consumer")
)

var refusingGauge = gauge("queue_refusing_since_timestamp_seconds",
	"Since when deliveries are refused because they cannot be stored, 0 if they are not.")

// Describe implements prometheus.Collector.
func (gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{pendingGauge, bytesGauge, flightGauge, deadGauge, oldestGauge, pausedGauge, refusingGauge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (gauges) Collect(ch chan<- prometheus.Metric) {
	for _, store := range Stores() {
		show := func(d *prometheus.Desc, value float64, consumer ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{store.Name()}, consumer...)...)
		}
		refusing := 0.0
		if since := store.RefusingSince(); !since.IsZero() {
			refusing = float64(since.UnixMilli()) / 1000
		}
		show(refusingGauge, refusing)
		all, err := store.stats()
		if err != nil {
			continue
		}
		configured := store.Consumers()
		for _, stats := range all {
			name := stats.Consumer
			if stats.Pending+stats.Dead+stats.Delivered == 0 && !slices.Contains(configured, name) {
				continue // it left the config with nothing
			}
			age, paused := 0.0, 0.0
			if !stats.Oldest.IsZero() {
				age = max(0, time.Since(stats.Oldest).Seconds())
			}
			if stats.Paused {
				paused = 1
			}
			show(pendingGauge, float64(stats.Pending), name)
			show(bytesGauge, float64(stats.PendingBytes), name)
			show(flightGauge, float64(stats.InFlight), name)
			show(deadGauge, float64(stats.Dead), name)
			show(oldestGauge, age, name)
			show(pausedGauge, paused, name)
		}
	}
}
