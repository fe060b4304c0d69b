package file

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
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
		return appendLine(dst, e.Envelope())
	}
	return e.AppendCloudEvent(dst)
}

// appendLine appends text to dst in one line: as it is where it has no raw
// line breaks, else compacted, and what is not JSON in base 64.
func appendLine(dst, text []byte) []byte {
	if !bytes.ContainsAny(text, "\n\r") {
		return append(dst, text...)
	}
	compact := bytes.NewBuffer(dst)
	if err := json.Compact(compact, text); err == nil {
		return compact.Bytes()
	}
	// The member has the name that CloudEvents gives to binary data.
	dst = append(dst, `{"data_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, text)
	return append(dst, '"', '}')
}

func validateFormat(format string) error {
	switch format {
	case "", formatCloudEvents, formatMeta, formatRaw:
		return nil
	}
	return fmt.Errorf("format %q is none of cloudevents, meta and raw", format)
}
