package handler

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	registration "github.com/caddy-instagram/webhooks/internal/metrics"
)

// metrics are the collectors of this package.
type metrics struct {
	deliveries    *prometheus.CounterVec
	verifications *prometheus.CounterVec
	responses     *prometheus.CounterVec
	succeeded     prometheus.Counter // responses of 200
	bytes         prometheus.Counter
	seconds       prometheus.Histogram
}

// shared is kept at package level: counts go on over a reload, and all handlers
// count together.
var shared = newMetrics()

func newMetrics() *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_instagram_deliveries_total",
			Help: "Deliveries by result (accepted as authentic, whatever the next handler answers, " +
				"or the reason for the refusal) and by the name of the app secret that matched.",
		}, []string{"result", "secret"}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_instagram_verifications_total",
			Help: "Verification requests by result (accepted, or the reason for the refusal).",
		}, []string{"result"}),
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_instagram_answers_total",
			Help: "Answers to authentic deliveries by status (broken_off for those that did not come whole, " +
				"other for statuses that have no name). Meta takes all but 200 for failures.",
		}, []string{"status"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "caddy_instagram_delivery_bytes_total",
			Help: "Bytes of all accepted deliveries.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "caddy_instagram_authentication_seconds",
			Help:    "Time from the start of a delivery to the decision about it, reading the body included.",
			Buckets: prometheus.ExponentialBuckets(1e-5, 4, 10),
		}),
	}
	m.countFromZero()
	return m
}

// countFromZero makes the series that are known from the start, so that the first
// increase of each can be seen.
func (m *metrics) countFromZero() {
	m.verifications.WithLabelValues(accepted)
	for _, reason := range verificationReasons {
		m.verifications.WithLabelValues(reason.name)
	}
	for _, reason := range deliveryReasons {
		m.deliveries.WithLabelValues(reason.name, "")
	}
	for _, status := range foreseenStatuses {
		m.responses.WithLabelValues(status)
	}
	m.succeeded = m.responses.WithLabelValues(statusOK)
}

// Values of the label status that are not the status of a failure.
const (
	statusOK    = "200"
	brokenOff   = "broken_off"
	otherStatus = "other"
)

// foreseenStatuses are what an application, or Caddy in its place, responds with
// when something is wrong or differs from what Meta expects. net/http has no name
// for 419, Laravel's for a missing CSRF token, and 499, which is statusHungUp.
var foreseenStatuses = []string{
	statusOK, "201", "202", "204", "301", "302", "303", "307", "308",
	"400", "401", "403", "404", "405", "411", "413", "415", "419", "422", "429", "499",
	"500", "502", "503", "504", brokenOff, otherStatus,
}

// statusLabel returns the label of a status. What has no name is "other", which
// bounds the values.
func statusLabel(status int) string {
	label := strconv.Itoa(status)
	if http.StatusText(status) == "" && !slices.Contains(foreseenStatuses, label) {
		return otherStatus
	}
	return label
}

// outcome returns the label of the response to a delivery.
func (x *exchange) outcome() string {
	switch {
	case !x.answered():
		return brokenOff
	case x.w.status == http.StatusOK:
		return statusOK
	}
	return statusLabel(x.w.status)
}

// register registers the collectors with the registry of a config.
func (m *metrics) register(registry *prometheus.Registry) error {
	return registration.Register(registry, m.deliveries, m.verifications, m.responses, m.bytes, m.seconds)
}

// count counts a request that has ended, and the response to an authentic
// delivery.
func (m *metrics) count(x *exchange) {
	result := cmp.Or(x.rejectedFor(), accepted)
	switch {
	case x.authentic && x.rejection != nil:
		x.secret.unhandled.Inc()
	case x.authentic:
		x.secret.accepted.Inc()
	case x.verification:
		m.verifications.WithLabelValues(result).Inc()
	case x.rejection != nil: // else the decision never came
		m.deliveries.WithLabelValues(result, "").Inc()
	}
	if !x.authentic {
		return
	}
	m.bytes.Add(float64(x.delivery.Size()))
	if outcome := x.outcome(); outcome == statusOK {
		m.succeeded.Inc() // without a search
	} else {
		m.responses.WithLabelValues(outcome).Inc()
	}
}
