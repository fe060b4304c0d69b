package file

import "github.com/caddy-instagram/webhooks/event"

// The values of format.
const (
	formatCloudEvents = "cloudevents"
	formatMeta        = "meta"
	formatRaw         = "raw"
)

// render appends e to dst in one of the formats of an event. The result has no
// raw line breaks.
func render(dst []byte, format string, e *event.Event) []byte {
	if format == formatMeta {
		return appendLine(dst, e, e.Envelope())
	}
	return e.AppendCloudEvent(dst)
}

// appendLine appends text, that of e or of the delivery that e came in. Only what
// could not be taken apart may be no JSON.
func appendLine(dst []byte, e *event.Event, text []byte) []byte {
	if e.Kind == "" {
		return event.AppendLine(dst, text)
	}
	return event.AppendJSONLine(dst, text)
}
