package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// AppendCloudEvent appends the event in the JSON event format of CloudEvents
// 1.0 to dst, on one line and without a line feed at its end, and returns the
// longer slice:
//
//	{"specversion":"1.0","id":"instagram/17…/comments/18…","source":"/instagram/17…",
//	 "type":"com.instagram.comments","subject":"18…","time":"2026-02-26T05:44:11Z",
//	 "datacontenttype":"application/json","data":{"object":"instagram","entry":[…]}}
//
// These are its attributes:
//
//   - id is the ID.
//   - source is "/instagram/" and the Account, or "/instagram" without one,
//     for every object.
//   - type is "com.instagram." and the Field.
//   - subject is the id of the media that a change is about, or of the message
//     that a message, a reaction and the like is about. It is left out where
//     there is none.
//   - time is the Time, or Sent where Meta gives no other, in UTC. It is left
//     out where neither is known.
//   - data is the Envelope, without white space between its tokens if it had
//     line breaks there. An envelope that is not JSON in UTF-8 comes as
//     data_base64, with the datacontenttype "application/octet-stream".
//
// Characters of Account and Field that do not fit are percent-encoded, as in ID.
func (e *Event) AppendCloudEvent(dst []byte) []byte {
	d := e.details()
	dst = append(dst, `{"specversion":"1.0","id":"`...)
	dst = e.appendID(dst, &d)
	dst = append(dst, `","source":"/instagram`...)
	if e.Account != "" {
		dst = append(dst, '/')
		dst = appendPart(dst, e.Account)
	}
	dst = append(dst, `","type":"com.instagram.`...)
	dst = appendPart(dst, e.Field)
	dst = append(dst, '"')
	if subject := e.subject(&d); subject != "" {
		dst = append(dst, `,"subject":`...)
		dst = appendString(dst, subject)
	}
	when := e.Time
	if when.IsZero() {
		when = e.Sent
	}
	if !when.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = when.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	return append(e.appendData(dst), '}')
}

// appendData appends the members that hold the envelope.
func (e *Event) appendData(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, `,"datacontenttype":"application/json","data":`...)
	data := len(dst)
	dst = e.AppendEnvelope(dst)
	envelope := dst[data:]
	if !utf8.Valid(envelope) || e.entry == nil && !isJSON(e.item) {
		dst = append(dst[:start], `,"datacontenttype":"application/octet-stream","data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Envelope())
		return append(dst, '"')
	}
	if bytes.ContainsAny(envelope, "\r\n") {
		return appendCompact(dst[:data], string(envelope))
	}
	return dst
}

// subject returns the id of what the event is about. CloudEvents allows no
// control characters in it; a text with these is no id.
func (e *Event) subject(d *details) string {
	subject := d.mid
	if e.Kind == Change && d.media() != "" {
		subject = d.media()
	}
	if strings.ContainsFunc(subject, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return ""
	}
	return subject
}

// appendString appends a printable text as a JSON string.
func appendString(dst []byte, text string) []byte {
	if !strings.ContainsFunc(text, func(r rune) bool { return r > '~' || strings.ContainsRune(`"\<>&`, r) }) {
		return append(append(append(dst, '"'), text...), '"')
	}
	quoted, _ := json.Marshal(text)
	return append(dst, quoted...)
}
