package queue

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/event"
)

// collectors are the collectors of this package.
type collectors struct {
	events   *prometheus.CounterVec
	failures *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// Result is what became of an event, as a label of the metrics.
type Result string

// The results.
const (
	ResultAccepted  Result = "accepted"
	ResultDuplicate Result = "duplicate"
	ResultSkipped   Result = "skipped"
	ResultDelivered Result = "delivered"
	ResultDead      Result = "dead"
)

// metrics is kept at package level: counts go on over a reload, and all queues
// count together.
var metrics = collectors{
	events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_events_total",
		Help:      "Events by what instagram_queue did with them (accepted, duplicate, skipped because of fields, delivered, dead) and by field.",
	}, []string{"result", "field"}),
	failures: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_failed_attempts_total",
		Help:      "Failed attempts to deliver an event, by reason: the status (other if it has no name), or timeout, panic, broken (no answer, or not all of it), untaken (no handler took the event).",
	}, []string{"reason"}),
	seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_delivery_seconds",
		Help:      "Time from the acceptance of an event to its delivery.",
		Buckets:   prometheus.ExponentialBuckets(0.001, 4, 14), // to 19 hours
	}),
}

// Collectors returns the collectors of what all dispatchers of this process count.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{metrics.events, metrics.failures, metrics.seconds}
}

// results are all values of the label result.
var results = []Result{ResultAccepted, ResultDuplicate, ResultSkipped, ResultDelivered, ResultDead}

// expected are the reasons of failures that are counted from 0: those that are no
// status, and the statuses that applications fail with.
var expected = []string{
	reasonTimeout, reasonPanic, reasonBroken, ReasonUnhandled,
	"301", "302", "307", "308", "400", "401", "403", "404", "405", "410", "413", "415", "419", "422", "429",
	"500", "501", "502", "503", "504", otherReason,
}

// InitCounters makes the counters exist at 0, so that rates and alerts see the first
// event of each. It does so for the given fields and the common ones. Counters of
// other fields appear with their first event: all of them would be many.
func InitCounters(fields []string) { metrics.init(fields) }

func (c *collectors) init(fields []string) {
	fields = append(slices.Clone(fields), event.Unparsed, otherField)
	for _, f := range event.Fields() {
		if f.Common {
			fields = append(fields, f.Name)
		}
	}
	for _, field := range fields {
		for _, result := range results {
			c.events.WithLabelValues(string(result), event.FieldLabel(field))
		}
	}
	for _, reason := range expected {
		c.failures.WithLabelValues(reason)
	}
}

// otherField is a field that nobody knows, and so becomes the label of such.
const otherField = "other"

// otherReason is the label of statuses that have no name and are not among the expected ones, which
// bounds the labels: an application may answer any.
const otherReason = "other"

// reasonLabel returns the reason of a failure for use as a label.
func reasonLabel(reason string) string {
	if status, err := strconv.Atoi(reason); err == nil && http.StatusText(status) == "" && !slices.Contains(expected, reason) {
		return otherReason
	}
	return reason
}

// Count counts events of a field by what became of them.
func Count(result Result, field string, events int) {
	metrics.events.WithLabelValues(string(result), event.FieldLabel(field)).Add(float64(events))
}
