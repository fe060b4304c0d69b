package file

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/event"
)

// The values of the label result.
const (
	resultWritten = "written"
	resultSkipped = "skipped"
	resultFailed  = "failed"
)

// events is kept at package level: counts go on over a reload, and all
// handlers count together.
var events = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy",
	Subsystem: "instagram",
	Name:      "file_events_total",
	Help:      "Events by what instagram_file did with them (written, skipped because of fields, failed) and by field.",
}, []string{"result", "field"})

// countFromZero makes the series that are known from the start, so that the first
// increase of each can be seen.
func countFromZero() {
	labels := []string{event.FieldLabel(event.Unparsed), event.FieldLabel("")}
	for _, field := range event.Fields() {
		labels = append(labels, event.FieldLabel(field.Name))
	}
	for _, label := range labels {
		for _, result := range []string{resultWritten, resultSkipped, resultFailed} {
			events.WithLabelValues(result, label)
		}
	}
}

// count counts an event.
func count(result, field string) { events.WithLabelValues(result, event.FieldLabel(field)).Inc() }
