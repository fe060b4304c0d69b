package file

import (
	"fmt"

	"github.com/caddy-instagram/webhooks/event"
)

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
		return event.AppendLine(dst, e.Envelope())
	}
	return e.AppendCloudEvent(dst)
}

func validateFormat(format string) error {
	switch format {
	case "", formatCloudEvents, formatMeta, formatRaw:
		return nil
	}
	return fmt.Errorf("format %q is none of cloudevents, meta and raw", format)
}
