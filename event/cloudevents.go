package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/jsonscan"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Attributes are the attributes of an event as a CloudEvent 1.0, besides its id,
// which is Event.ID.
type Attributes struct {
	// Source is "/instagram/" and the Account, or "/instagram" without one,
	// whatever the Object.
	Source string

	// Type is "com.instagram." and the Field.
	Type string

	// Subject is the id of the media that a change is about, or of the message
	// that a message, reaction or similar event is about. It is empty if there is
	// none.
	Subject string

	// Time is the Time of the event, or Sent if that is all Meta gives, in UTC. It
	// is zero if neither is known.
	Time time.Time

	// DataContentType is "application/json", or "application/octet-stream" for
	// an envelope that is not JSON in UTF-8.
	DataContentType string
}

// Attributes returns the attributes of the event as a CloudEvent. Account and Field
// are percent-encoded, as in ID.
func (e *Event) Attributes() Attributes {
	a := Attributes{
		Source:          string(e.appendSource(make([]byte, 0, 64))),
		Type:            string(e.appendType(make([]byte, 0, 64))),
		Subject:         e.subject(),
		Time:            e.when(),
		DataContentType: contentJSON,
	}
	if !e.hasJSON() {
		a.DataContentType = contentBinary
	}
	return a
}

// The values of DataContentType.
const (
	contentJSON   = "application/json"
	contentBinary = "application/octet-stream"
)

// AppendCloudEvent appends the event in the JSON event format of CloudEvents
// 1.0 to dst, on one line and without a line feed at its end, and returns the
// longer slice:
//
//	{"specversion":"1.0","id":"instagram/17…/comments/18…","source":"/instagram/17…",
//	 "type":"com.instagram.comments","subject":"18…","time":"2026-02-26T05:44:11Z",
//	 "datacontenttype":"application/json","data":{"object":"instagram","entry":[…]}}
//
// Attributes that are empty are left out. The data is the Envelope; if it has line
// breaks, it is written without white space between its tokens. An envelope that is
// not JSON in UTF-8 is written as data_base64.
func (e *Event) AppendCloudEvent(dst []byte) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"`...)
	dst, _ = e.appendID(dst)
	dst = append(dst, `","source":"`...)
	dst = e.appendSource(dst)
	dst = append(dst, `","type":"`...)
	dst = e.appendType(dst)
	dst = append(dst, '"')
	if subject := e.subject(); subject != "" {
		dst = append(dst, `,"subject":`...)
		dst = appendString(dst, subject)
	}
	if when := e.when(); !when.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = when.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	return append(e.appendData(dst), '}')
}

// appendData appends the envelope and its content type.
func (e *Event) appendData(dst []byte) []byte {
	if !e.hasJSON() {
		dst = append(dst, `,"datacontenttype":"`+contentBinary+`","data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Envelope())
		return append(dst, '"')
	}
	dst = append(dst, `,"datacontenttype":"`+contentJSON+`","data":`...)
	data := len(dst)
	dst = e.AppendEnvelope(dst)
	if envelope := dst[data:]; bytes.ContainsAny(envelope, "\r\n") {
		return jsonscan.AppendCompact(dst[:data], string(envelope))
	}
	return dst
}

// hasJSON reports whether the envelope is JSON in UTF-8, from the parts that make it
// up.
func (e *Event) hasJSON() bool {
	if e.entry == nil {
		return utf8.ValidString(e.item) && jsonscan.Valid(e.item)
	}
	in, of := e.entry, e.entry.delivery
	return utf8.ValidString(e.item) &&
		utf8.ValidString(in.id) && utf8.ValidString(in.time) && utf8.Valid(in.rest) &&
		utf8.ValidString(of.object) && utf8.Valid(of.rest)
}

func (e *Event) appendSource(dst []byte) []byte {
	dst = append(dst, "/instagram"...)
	if e.Account == "" {
		return dst
	}
	return appendPart(append(dst, '/'), e.Account)
}

func (e *Event) appendType(dst []byte) []byte {
	return appendPart(append(dst, "com.instagram."...), e.Field)
}

// when returns the Time of the event, or else when it was sent.
func (e *Event) when() time.Time {
	if e.Time.IsZero() {
		return e.Sent
	}
	return e.Time
}

// subject returns the id of what the event is about. CloudEvents forbids control
// characters in it, and a text that has them is no id anyway.
func (e *Event) subject() string {
	d := e.about()
	subject := d.mid
	if e.Kind == Change && d.media() != "" {
		subject = d.media()
	}
	if !isUnreserved(subject) && sanitize.Printable(subject, ' ') != subject { // ids usually are unreserved
		return ""
	}
	return subject
}

// appendString appends a printable text as a JSON string.
func appendString(dst []byte, text string) []byte {
	escaped := func(r rune) bool { return r > '~' || strings.ContainsRune(`"\<>&`, r) }
	if isUnreserved(text) || !strings.ContainsFunc(text, escaped) {
		return append(append(append(dst, '"'), text...), '"')
	}
	quoted, _ := json.Marshal(text)
	return append(dst, quoted...)
}
