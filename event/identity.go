package event

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/jsonscan"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// ID returns the identity of the event: the same text whenever Meta sends the
// same event again, in whatever batch, order or delivery, and another text for
// another event. Use it to recognise duplicates. The form never changes:
//
//	{object}/{account}/{field}/{part}…
//
// The parts are Meta's own ids: the comment id of comments and live_comments; the
// message id of messages, followed by "deleted" if the message was unsent; for the
// others see Field.Identity, which also holds for the fields of a Page that have
// another name there. An event under standby has the field that its key stands for
// as its first part. A message of WhatsApp has its message id; a status has the
// message id, the status and the timestamp, unless it is for a group; a post of
// Threads has its id. If a part would be empty or is not valid text, if object or
// account is missing, and for all other fields, the only part is
//
//	sha256:{hash of the item's compact JSON, 64 lower-case hexadecimal digits}
//
// The item of an unparsed entry, and of a change directly in an entry, is the
// entry without its id, its time and empty lists. The item of an unparsed delivery
// is the whole delivery, byte for byte if it is not JSON. The item of a message or
// status of WhatsApp is the value with only this one in it, without contacts.
//
// Some events look alike, so that ID cannot tell one from the next; see NotUnique.
//
// Every part is percent-encoded: only A–Z, a–z, 0–9, "-", ".", "_" and "~"
// stand for themselves. A part that is longer than 255 bytes when encoded is
// replaced by "sha256:" and its hash. So an ID is plain ASCII without quotes or
// spaces, safe in a header, shorter than 2000 bytes, and usually shorter than 300.
func (e *Event) ID() string {
	id, _ := e.appendID(make([]byte, 0, 320))
	return string(id)
}

// Identify returns what ID and NotUnique do, for the cost of ID.
func (e *Event) Identify() (id string, notUnique bool) {
	text, hashed := e.appendID(make([]byte, 0, 320))
	return string(text), e.notUnique(hashed)
}

// appendID appends the ID of the event. hashed says that it is made of no ids of Meta's, but
// of a hash of the item.
func (e *Event) appendID(dst []byte) (id []byte, hashed bool) {
	dst = appendPart(dst, e.Object)
	dst = append(dst, '/')
	dst = appendPart(dst, e.Account)
	dst = append(dst, '/')
	dst = appendPart(dst, e.Field)

	if prefix := len(dst); e.Object != "" && e.Account != "" {
		whole := true
		parts, n := e.identity()
		for _, part := range parts[:n] {
			dst = append(dst, '/')
			at := len(dst)
			dst = appendPart(dst, part)
			// A replacement character may stand for any invalid text. A part that
			// needed no encoding has none.
			verbatim := len(dst)-at == len(part)
			whole = whole && part != "" && (verbatim || !strings.ContainsRune(part, utf8.RuneError))
		}
		if whole && len(dst) > prefix {
			return dst, false
		}
		dst = dst[:prefix]
	}
	return appendHash(append(dst, '/'), e.compactItem()), true
}

// NotUnique reports whether events that happen at different times can have the
// same ID: those of the Test button, those that are Unparsed, and changes that have a
// hash for an ID and whose value does not say when it came about. A template of
// WhatsApp, for example, can be approved, paused and approved again. Do not drop such
// an event as a duplicate: it may be a new one.
//
// A value says when it came about if it has a "timestamp" anywhere, or "issued_at", or
// the "created_time" of what was created, as for a lead. So does that of a mention in a
// caption, which has the id of the media.
func (e *Event) NotUnique() bool {
	if e.Kind != Change {
		return e.notUnique(false)
	}
	_, notUnique := e.Identify()
	return notUnique
}

// notUnique is NotUnique of an event whose ID is a hash of the item or not.
func (e *Event) notUnique(hashed bool) bool {
	if e.Test || e.Account == meta.TestAccount || e.Field == Unparsed {
		return true
	}
	return hashed && e.Kind == Change && !e.happensOnce()
}

// happensOnce reports whether the value of a change cannot come about twice.
func (e *Event) happensOnce() bool {
	d := e.about()
	switch {
	case d.isWhatsAppItem():
		return d.timestamp != ""
	case e.Field == "mentions" && d.mediaID != "":
		return true
	}
	s := newScanner(d.value)
	return s.dated()
}

// dated reports whether the value of a change holds a time that is its own.
func (s *scanner) dated() bool {
	var created, verb string
	dated := false
	for _, name := range s.Members {
		switch name {
		case "issued_at":
			dated = s.Scalar() != "" || dated
		case "created_time":
			created = s.Scalar()
		case "verb":
			verb = s.Scalar()
		default:
			dated = s.timed(name) || dated
		}
	}
	// What is changed or removed later has the time at which it was created.
	return dated || created != "" && (verb == "" || verb == "add")
}

// timed reports whether a member is a timestamp, or has one in it.
func (s *scanner) timed(name string) bool {
	found := false
	switch {
	case name == "timestamp":
		return s.Scalar() != ""
	case s.Peek() == '{':
		for _, name := range s.Members {
			found = s.timed(name) || found
		}
	case s.Peek() == '[':
		for range s.Elements {
			found = s.timed("") || found
		}
	}
	return found
}

// maxParts is the most parts that an identity has.
const maxParts = 5

// identity returns the parts that tell the event from others of the same field and
// account, or none if Meta gives no ids.
func (e *Event) identity() (parts [maxParts]string, n int) {
	d := e.about()
	switch {
	case d.key == listMessages:
		return [maxParts]string{d.mid}, 1
	case d.key == listStatuses:
		return [maxParts]string{d.mid, d.action, d.timestamp}, 3
	case e.list == listValue || e.list == listValues:
		if !slices.Contains(threadsFields, e.Field) {
			return parts, 0
		}
		return [maxParts]string{d.id}, 1
	}
	if e.Field != "standby" {
		n = d.identity(e.Field, parts[:])
		return parts, n
	}
	parts[0] = d.field
	if n = d.identity(d.field, parts[1:]); n > 0 {
		n++
	}
	return parts, n
}

// identity stores the parts of the identity under a field and returns their number.
func (d *details) identity(field string, parts []string) int {
	set := func(from ...string) int { return copy(parts, from) }
	switch field {
	case "comments", "live_comments":
		return set(cmp.Or(d.id, d.commentID))
	case "mentions":
		return set(d.mediaID, d.commentID)
	case "story_insights":
		sum := sha256.Sum256(jsonscan.AppendCompact(nil, d.value))
		return set(d.mediaID, hex.EncodeToString(sum[:]))
	case "messages", "message_echoes":
		if d.deleted {
			return set(d.mid, "deleted")
		}
		return set(d.mid)
	case "message_reactions":
		return set(d.mid, d.sender, d.action, d.timestamp)
	case "messaging_seen", "message_reads":
		return set(d.mid, d.timestamp)
	case "message_edit", "message_edits":
		return set(d.mid, d.numEdit, d.timestamp)
	case "messaging_postbacks":
		if d.mid != "" {
			return set(d.mid)
		}
		return set(d.sender, d.timestamp, d.payload)
	case "messaging_referral", "messaging_referrals":
		return set(d.sender, d.timestamp, d.ref)
	case "messaging_optins":
		return set(d.sender, d.timestamp)
	case "messaging_handover", "messaging_handovers":
		return set(d.sender, d.timestamp, d.key)
	}
	return 0
}

// compactItem returns what the hash of an event without ids is computed from.
func (e *Event) compactItem() []byte {
	switch {
	case e.about().isWhatsAppItem():
		return compactWhatsApp(e.item)
	case e.list != "":
		return jsonscan.AppendCompact(nil, e.item)
	case e.entry == nil: // an unparsed delivery
		if !jsonscan.Valid(e.item) {
			return []byte(e.item)
		}
		return jsonscan.AppendCompact(nil, e.item)
	case e.item[0] != '{': // an entry that is no object
		return jsonscan.AppendCompact(nil, e.item)
	case len(e.entry.rest) == 0:
		return []byte("{}")
	default:
		dst := jsonscan.AppendCompact([]byte{'{'}, string(e.entry.rest))
		dst[len(dst)-1] = '}' // for the last comma
		return dst
	}
}

// unreservedBytes are the bytes that stand for themselves in an identity.
var unreservedBytes = func() (t [256]bool) {
	for c := range t {
		c := byte(c)
		t[c] = 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
	}
	return t
}()

// unreservedPrefix returns how many bytes at the beginning of part stand for
// themselves.
func unreservedPrefix(part string) int {
	for i := range len(part) {
		if !unreservedBytes[part[i]] {
			return i
		}
	}
	return len(part)
}

func isUnreserved(part string) bool { return unreservedPrefix(part) == len(part) }

// appendPart appends a part of an identity, percent-encoded or as a hash.
func appendPart(dst []byte, part string) []byte {
	const (
		maxPart = 255
		digits  = "0123456789ABCDEF"
	)
	start := len(dst)
	for rest := part; rest != "" && len(dst)-start <= maxPart; {
		n := unreservedPrefix(rest)
		dst = append(dst, rest[:n]...)
		if rest = rest[n:]; rest != "" {
			dst = append(dst, '%', digits[rest[0]>>4], digits[rest[0]&15])
			rest = rest[1:]
		}
	}
	if len(dst)-start > maxPart {
		return appendHash(dst[:start], []byte(part))
	}
	return dst
}

// appendHash appends the hash that stands for data in an identity. No other part
// looks like one, because a colon is percent-encoded there.
func appendHash(dst, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(append(dst, "sha256:"...), sum[:])
}
