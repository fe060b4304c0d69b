package handler

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors of this package.
type metrics struct {
	deliveries    *prometheus.CounterVec
	verifications *prometheus.CounterVec
	bytes         prometheus.Counter
	seconds       prometheus.Histogram
}

const namespace, subsystem = "caddy", "instagram"

// shared is kept at package level: counts go on over a reload, and all handlers
// count together.
var shared = newMetrics()

func newMetrics() *metrics {
	return &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Subsystem: subsystem,
			Name:      "deliveries_total",
			Help:      "Deliveries by result (accepted as authentic, whatever the next handler answers, or the reason for the refusal) and by the name of the app secret that matched.",
		}, []string{"result", "secret"}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Subsystem: subsystem,
			Name:      "verifications_total",
			Help:      "Verification requests by result (accepted, or the reason for the refusal).",
		}, []string{"result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace,
			Subsystem: subsystem,
			Name:      "delivery_bytes_total",
			Help:      "Bytes of all accepted deliveries.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace,
			Subsystem: subsystem,
			Name:      "authentication_seconds",
			Help:      "Time from the start of a delivery to the decision about it, reading the body included.",
			Buckets:   prometheus.ExponentialBuckets(1e-5, 4, 10),
		}),
	}
}

// registerMetrics registers the shared collectors with the registry of a
// config. A second handler in the same config finds them there already.
func registerMetrics(registry *prometheus.Registry) (*metrics, error) {
	for _, collector := range []prometheus.Collector{shared.deliveries, shared.verifications, shared.bytes, shared.seconds} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(collector); err != nil && !errors.As(err, &already) {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return shared, nil
}

func (m *metrics) refused(why reason) {
	m.deliveries.WithLabelValues(why.name, "").Inc()
}
