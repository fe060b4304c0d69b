package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// AppendLine appends the text of a delivery to dst in one line, without a line
// feed at its end, and returns the longer slice: as it is where it has no raw
// line breaks, else compacted, and what is not JSON in base 64:
//
//	{"data_base64":"…"}
func AppendLine(dst, text []byte) []byte {
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
