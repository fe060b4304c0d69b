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
	seconds  *prometheus.HistogramVec
}

// Result is what became of an event, as a label of the metrics.
type Result string

// The results. Those of a delivery are the queue's, and have no consumer.
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
		Help:      "Events by what instagram_queue did with them (accepted, duplicate, skipped because of fields; for each consumer: delivered, dead) and by field.",
	}, []string{"result", "consumer", "field"}),
	failures: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_failed_attempts_total",
		Help:      "Failed attempts to deliver an event, by consumer and by reason: the status (other if it has no name), or timeout, panic, broken (no answer, or not all of it), untaken (no handler took the event).",
	}, []string{"consumer", "reason"}),
	seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "instagram",
		Name:      "queue_delivery_seconds",
		Help:      "Time from the acceptance of an event to its delivery, by consumer.",
		Buckets:   prometheus.ExponentialBuckets(0.001, 4, 14), // to 19 hours
	}, []string{"consumer"}),
}

// Collectors returns the collectors of what all dispatchers of this process count.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{metrics.events, metrics.failures, metrics.seconds}
}

// expected are the reasons of failures that are counted from 0: those that are no
// status, and the statuses that applications fail with.
var expected = []string{
	reasonTimeout, reasonPanic, reasonBroken, ReasonUnhandled,
	"301", "302", "307", "308", "400", "401", "403", "404", "405", "410", "413", "415", "419", "422", "429",
	"500", "501", "502", "503", "504", otherReason,
}

// InitCounters makes the counters of a consumer and those of the queue exist at 0, so
// that rates and alerts see the first event of each. It does so for the given fields and
// the common ones. Counters of other fields appear with their first event: all of them
// would be many.
func InitCounters(consumer string, fields []string) { metrics.init(consumer, fields) }

func (c *collectors) init(consumer string, fields []string) {
	fields = append(slices.Clone(fields), event.Unparsed, otherField)
	for _, f := range event.Fields() {
		if f.Common {
			fields = append(fields, f.Name)
		}
	}
	for _, field := range fields {
		label := event.FieldLabel(field)
		for _, result := range []Result{ResultAccepted, ResultDuplicate, ResultSkipped} {
			c.events.WithLabelValues(string(result), "", label)
		}
		for _, result := range []Result{ResultDelivered, ResultDead} {
			c.events.WithLabelValues(string(result), consumer, label)
		}
	}
	for _, reason := range expected {
		c.failures.WithLabelValues(consumer, reason)
	}
	c.seconds.WithLabelValues(consumer)
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

// Count counts events of a field by what became of them, for a consumer or, if that is
// empty, for the queue.
func Count(result Result, consumer, field string, events int) {
	metrics.events.WithLabelValues(string(result), consumer, event.FieldLabel(field)).Add(float64(events))
}
