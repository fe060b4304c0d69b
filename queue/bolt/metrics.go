package bolt

import "github.com/prometheus/client_golang/prometheus"

// These are kept at package level: counts go on over a reload.
var (
	commitSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_commit_seconds",
		Help:      "Time of a commit of a bolt store, sync of the disk included.",
		Buckets:   prometheus.ExponentialBuckets(1e-4, 2, 16),
	})
	commitOperations = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_commit_operations",
		Help:      "Deliveries accepted and events settled by a commit of a bolt store.",
		Buckets:   prometheus.ExponentialBuckets(1, 2, 12),
	})
)
