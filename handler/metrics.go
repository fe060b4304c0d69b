package handler

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	registration "github.com/caddy-instagram/webhooks/internal/metrics"
)

// metrics are the collectors of this package.
type metrics struct {
	deliveries    *prometheus.CounterVec
	verifications *prometheus.CounterVec
	answers       *prometheus.CounterVec
	taken         prometheus.Counter // answers of 200
	bytes         prometheus.Counter
	seconds       prometheus.Histogram
}

const namespace, subsystem = "caddy", "instagram"

// shared is kept at package level: counts go on over a reload, and all handlers
// count together.
var shared = newMetrics()

func newMetrics() *metrics {
	m := &metrics{
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
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Subsystem: subsystem,
			Name:      "answers_total",
			Help:      "Answers to authentic deliveries by status (broken_off for those that did not come whole, other for statuses that have no name). Meta takes all but 200 for failures.",
		}, []string{"status"}),
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
	m.countFromZero()
	return m
}

// countFromZero makes the series that are known from the start, so that the first
// increase of each can be seen.
func (m *metrics) countFromZero() {
	m.verifications.WithLabelValues(accepted)
	for _, why := range refusalsOfVerifications {
		m.verifications.WithLabelValues(why.name)
	}
	for _, why := range refusalsOfDeliveries {
		m.deliveries.WithLabelValues(why.name, "")
	}
	m.taken = m.answers.WithLabelValues(answerLabel(http.StatusOK))
	for _, status := range usualAnswers {
		m.answers.WithLabelValues(answerLabel(status))
	}
	m.answers.WithLabelValues(brokenOff)
	m.answers.WithLabelValues(otherStatus)
}

// The values of the label status that are no numbers.
const (
	brokenOff   = "broken_off"
	otherStatus = "other"
)

// usualAnswers are statuses that an application, or Caddy in its place, answers
// with when something is wrong or differs from what Meta expects.
var usualAnswers = []int{
	201, 202, 204, 301, 302, 303, 307, 308,
	400, 401, 403, 404, 405, 411, 413, 415, statusPageExpired, 422, 429, statusHungUp,
	500, 502, 503, 504,
}

// Statuses that net/http has no name for.
const (
	statusPageExpired = 419 // Laravel's, for a missing CSRF token
	statusHungUp      = 499 // Caddy's, when the client did not wait for the answer
)

// answerLabel returns the label of a status. What has no name is "other", which
// bounds the values.
func answerLabel(status int) string {
	if http.StatusText(status) == "" && status != statusPageExpired && status != statusHungUp {
		return otherStatus
	}
	return strconv.Itoa(status)
}

// register registers the collectors with the registry of a config.
func (m *metrics) register(registry *prometheus.Registry) error {
	return registration.Register(registry, m.deliveries, m.verifications, m.answers, m.bytes, m.seconds)
}

func (m *metrics) refused(why reason) {
	m.deliveries.WithLabelValues(why.name, "").Inc()
}

// ended counts a delivery that was authentic, and its answer.
func (m *metrics) ended(e *entry) {
	if e.refused == untaken.name {
		e.secret.untaken.Inc()
	} else {
		e.secret.accepted.Inc()
	}
	switch {
	case !e.answered():
		m.answers.WithLabelValues(brokenOff).Inc()
	case e.w.status == http.StatusOK:
		m.taken.Inc()
	default:
		m.answers.WithLabelValues(answerLabel(e.w.status)).Inc()
	}
}
