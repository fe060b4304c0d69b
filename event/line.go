package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// AppendLine appends the text of a delivery to dst in one line, without a line
// feed at its end, and returns the longer slice: as it is where it is JSON without
// raw line breaks, compacted where it is JSON with these, and what is not JSON in
// base 64:
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

// AppendJSONLine is AppendLine for what is known to be JSON, and faster.
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
