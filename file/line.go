package file

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// line returns body as one line that ends with a line feed.
func line(body []byte) []byte {
	if !bytes.ContainsAny(body, "\n\r") {
		return append(body[:len(body):len(body)], '\n')
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err == nil {
		compact.WriteByte('\n')
		return compact.Bytes()
	}
	// The member has the name that CloudEvents gives to binary data.
	line := []byte(`{"data_base64":"`)
	line = base64.StdEncoding.AppendEncode(line, body)
	return append(line, '"', '}', '\n')
}
