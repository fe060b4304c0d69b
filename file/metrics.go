package file

import "github.com/prometheus/client_golang/prometheus"

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

// count counts an event. Meta can send a field that nobody knows yet; the
// label's values stay bounded.
func count(result, field string) {
	if !isKnown(field) {
		field = "other"
	}
	events.WithLabelValues(result, field).Inc()
}
