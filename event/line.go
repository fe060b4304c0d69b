package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// AppendLine appends the body of a delivery to dst as one line, without a line feed
// at its end, and returns the longer slice. JSON is appended as it is, or compacted if
// it has line breaks. Anything else is appended in base64:
//
//	{"data_base64":"…"}
func AppendLine(dst, text []byte) []byte {
	if json.Valid(text) {
		return AppendJSONLine(dst, text)
	}
	return appendBase64Line(dst, text)
}

func appendBase64Line(dst, text []byte) []byte {
	// The member has the name that CloudEvents gives to binary data.
	dst = append(dst, `{"data_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, text)
	return append(dst, '"', '}')
}

// AppendJSONLine is a faster AppendLine for text that is known to be JSON.
func AppendJSONLine(dst, text []byte) []byte {
	if !bytes.ContainsAny(text, "\n\r") {
		return append(dst, text...)
	}
	compact := bytes.NewBuffer(dst)
	if err := json.Compact(compact, text); err != nil {
		return appendBase64Line(dst, text)
	}
	return compact.Bytes()
}
