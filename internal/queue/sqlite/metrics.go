package sqlite

import "github.com/prometheus/client_golang/prometheus"

// These are kept at package level: counts go on over a reload.
var (
	commitSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_commit_seconds",
		Help:      "Time of a commit of a sqlite store, sync of the disk included.",
		Buckets:   prometheus.ExponentialBuckets(1e-4, 2, 16),
	})
	commitOperations = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_commit_operations",
		Help:      "Deliveries accepted, leases and events settled by a commit of a sqlite store.",
		Buckets:   prometheus.ExponentialBuckets(1, 2, 12),
	})
)

// Metrics returns what a store tells of its commits.
func Metrics() []prometheus.Collector {
	return []prometheus.Collector{commitSeconds, commitOperations}
}
