package queue

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/event"
	registration "github.com/caddy-instagram/webhooks/internal/metrics"
)

// collectors are the collectors of this package.
type collectors struct {
	events   *prometheus.CounterVec
	failures *prometheus.CounterVec
	seconds  prometheus.Histogram
	gauges   gauges
}

// The values of the label result.
const (
	resultAccepted  = "accepted"
	resultDuplicate = "duplicate"
	resultSkipped   = "skipped"
	resultDelivered = "delivered"
	resultDead      = "dead"
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

func (c *collectors) register(registry *prometheus.Registry) error {
	return registration.Register(registry, c.events, c.failures, c.seconds, c.gauges)
}

// results are all values of the label result.
var results = []string{resultAccepted, resultDuplicate, resultSkipped, resultDelivered, resultDead}

// foreseen are the reasons of failures that are counted from 0: those that are no
// status, and the statuses that applications fail with.
var foreseen = []string{
	reasonTimeout, reasonPanic, reasonBroken, reasonUntaken,
	"301", "302", "307", "308", "400", "401", "403", "404", "405", "410", "413", "415", "419", "422", "429",
	"500", "501", "502", "503", "504", otherReason,
}

// begin makes the counters exist before there is anything to count, so that rates
// and alerts see the first of each. The fields are those of the option and the
// common ones, which may be skipped. Another one begins when it comes: all of them
// would be many.
func (c *collectors) begin(fields []string) {
	fields = append(slices.Clone(fields), event.Unparsed, otherField)
	for _, f := range event.Fields() {
		if f.Common {
			fields = append(fields, f.Name)
		}
	}
	for _, field := range fields {
		for _, result := range results {
			c.events.WithLabelValues(result, event.FieldLabel(field))
		}
	}
	for _, reason := range foreseen {
		c.failures.WithLabelValues(reason)
	}
}

// otherField is a field that nobody knows, and so becomes the label of such.
const otherField = "other"

// otherReason is the label of statuses that have no name and are not foreseen, which
// bounds the labels: an application may answer any.
const otherReason = "other"

// reasonLabel returns the reason of a failure for use as a label.
func reasonLabel(reason string) string {
	if status, err := strconv.Atoi(reason); err == nil && http.StatusText(status) == "" && !slices.Contains(foreseen, reason) {
		return otherReason
	}
	return reason
}

func (c *collectors) count(result, field string) { c.add(result, field, 1) }

func (c *collectors) add(result, field string, events int) {
	c.events.WithLabelValues(result, event.FieldLabel(field)).Add(float64(events))
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
		stats, err := store.Stats(context.Background())
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
