package handler

import (
	"github.com/prometheus/client_golang/prometheus"

	registration "github.com/caddy-instagram/webhooks/internal/metrics"
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

// register registers the collectors with the registry of a config.
func (m *metrics) register(registry *prometheus.Registry) error {
	return registration.Register(registry, m.deliveries, m.verifications, m.bytes, m.seconds)
}

func (m *metrics) refused(why reason) {
	m.deliveries.WithLabelValues(why.name, "").Inc()
}

// ended counts a delivery that was authentic.
func (m *metrics) ended(e *entry) {
	switch {
	case e.secret == nil:
	case e.untaken:
		m.deliveries.WithLabelValues(untaken.name, e.secret.name).Inc()
	default:
		e.secret.count.Do(func() { e.secret.accepted = m.deliveries.WithLabelValues(accepted, e.secret.name) })
		e.secret.accepted.Inc()
	}
}
