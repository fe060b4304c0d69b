package event

// Envelope returns a delivery that holds just this event, in the shape in which Meta
// sent it, so that code written for Meta's payload reads it unchanged. Splitting it
// again gives this event with the same ID.
//
// The values of "object", "id" and "time", the item itself and the other members of
// the delivery and of the entry, such as "uid", are byte for byte as Meta sent them.
// Only the other entries and items are left out:
//
//	{"object":"instagram","entry":[{"id":"17…","time":1772084651,"changes":[{…}]}]}
//
// An entry that is Unparsed, or that is a change itself, stands in "entry" as it is.
// The envelope of an unparsed delivery is its raw bytes, whatever they are; if it was
// one of several in an array, it is an array of this one.
//
// A message or status of WhatsApp that shares its change with others stands alone in
// its list, beside the other members of the value and without the contacts of the
// others. A delivery of Threads, which has "values" in place of entries, holds one of
// these, in an array if it came in one.
func (e *Event) Envelope() []byte { return e.AppendEnvelope(nil) }

// AppendEnvelope appends the Envelope to dst and returns the longer slice.
func (e *Event) AppendEnvelope(dst []byte) []byte {
	if e.entry == nil {
		return append(dst, e.item...)
	}
	d := e.entry.delivery
	dst = append(dst, '{')
	dst = appendNamed(dst, "object", d.object)
	dst = append(dst, d.rest...)
	switch e.list {
	case listValue:
		dst = append(dst, `"values":`...)
		dst = append(dst, e.item...)
		return append(dst, '}')
	case listValues:
		dst = append(dst, `"values":[`...)
		dst = append(dst, e.item...)
		return append(dst, "]}"...)
	}
	dst = append(dst, `"entry":[`...)
	if e.list == "" {
		dst = append(dst, e.item...)
		return append(dst, "]}"...)
	}
	dst = append(dst, '{')
	dst = appendNamed(dst, "id", e.entry.id)
	dst = appendNamed(dst, "time", e.entry.time)
	dst = append(dst, e.entry.rest...)
	dst = append(dst, '"')
	dst = append(dst, e.list...)
	dst = append(dst, `":[`...)
	dst = append(dst, e.item...)
	return append(dst, "]}]}"...)
}

// appendNamed appends a member and a comma, or nothing without a value.
func appendNamed(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return appendMember(dst, value)
}

// appendMember appends a member, or the value of one, and a comma.
func appendMember(dst []byte, text string) []byte {
	return append(append(dst, text...), ',')
}
