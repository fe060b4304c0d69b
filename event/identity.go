package event

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// ID returns the identity of the event: the same text whenever Meta sends the
// same event again, in whatever batch, order or delivery, and another text for
// another event. Use it to recognise duplicates. The form is stable for ever:
//
//	{object}/{account}/{field}/{part}…
//
// The parts come from Meta's own ids: the comment id of comments and
// live_comments; the message id, and "deleted" if it was unsent, of messages;
// for the others see Identity of Fields. An event under standby has the field
// that its key stands for as its first part. Where a part would be empty or is
// not valid text, where object or account is missing, and for all other
// fields, the one part is
//
//	sha256:{hash of the item's compact JSON, 64 lower-case hexadecimal digits}
//
// The item of an unparsed entry, and of a change directly in an entry, is the
// entry without its id, its time and empty lists; that of an unparsed delivery is
// the delivery, byte for byte if it is not JSON.
//
// Some events are all alike, so that ID cannot tell one from the next; see
// Recurring.
//
// Every part is percent-encoded: only A–Z, a–z, 0–9, "-", ".", "_" and "~"
// stand for themselves. A part that is longer than 255 bytes when encoded is
// written as "sha256:" and its hash instead. So an ID is plain ASCII without
// quotes or spaces, fit for a header, less than 2000 bytes long, and usually
// less than 300.
func (e *Event) ID() string {
	d := e.details()
	return string(e.appendID(make([]byte, 0, 320), &d))
}

// appendID appends the ID of the event with these details.
func (e *Event) appendID(dst []byte, d *details) []byte {
	dst = appendPart(dst, e.Object)
	dst = append(dst, '/')
	dst = appendPart(dst, e.Account)
	dst = append(dst, '/')
	dst = appendPart(dst, e.Field)

	if prefix := len(dst); e.Object != "" && e.Account != "" {
		whole := true
		for _, part := range e.identity(d) {
			// A replacement character may have replaced anything.
			whole = whole && part != "" && !strings.ContainsRune(part, utf8.RuneError)
			dst = append(dst, '/')
			dst = appendPart(dst, part)
		}
		if whole && len(dst) > prefix {
			return dst
		}
		dst = dst[:prefix]
	}
	return appendHash(append(dst, '/'), e.compactItem())
}

// Recurring reports whether events that happen at different times can have the
// same ID: those that only name what changed, those of the Test button, and what
// is Unparsed. To drop such an event as a duplicate is to lose it.
func (e *Event) Recurring() bool {
	if e.Test || e.Field == Unparsed {
		return true
	}
	if e.Kind != Change {
		return false
	}
	value := e.details().value
	return value == "" || value == "null"
}

// identity returns what tells the event from others of its field and account,
// and nothing when Meta gives it no such thing.
func (e *Event) identity(d *details) []string {
	if e.Field != "standby" {
		return d.identity(e.Field)
	}
	parts := d.identity(d.field)
	if parts == nil {
		return nil
	}
	return append([]string{d.field}, parts...)
}

func (d *details) identity(field string) []string {
	switch field {
	case "comments", "live_comments":
		if d.id != "" {
			return []string{d.id}
		}
		return []string{d.commentID}
	case "mentions":
		return []string{d.mediaID, d.commentID}
	case "story_insights":
		sum := sha256.Sum256(appendCompact(nil, d.value))
		return []string{d.mediaID, hex.EncodeToString(sum[:])}
	case "messages":
		if d.deleted {
			return []string{d.mid, "deleted"}
		}
		return []string{d.mid}
	case "message_reactions":
		return []string{d.mid, d.sender, d.action, d.timestamp}
	case "messaging_seen":
		return []string{d.mid, d.timestamp}
	case "message_edit":
		return []string{d.mid, d.numEdit, d.timestamp}
	case "messaging_postbacks":
		if d.mid != "" {
			return []string{d.mid}
		}
		return []string{d.sender, d.timestamp, d.payload}
	case "messaging_referral":
		return []string{d.sender, d.timestamp, d.ref}
	case "messaging_optins":
		return []string{d.sender, d.timestamp}
	case "messaging_handover":
		return []string{d.sender, d.timestamp, d.key}
	}
	return nil
}

// compactItem returns what the hash of an event without ids is taken of.
func (e *Event) compactItem() []byte {
	switch {
	case e.list != "":
		return appendCompact(nil, e.item)
	case e.entry == nil: // an unparsed delivery
		if !isJSON(e.item) {
			return []byte(e.item)
		}
		return appendCompact(nil, e.item)
	case e.item[0] != '{': // an entry that is no object
		return appendCompact(nil, e.item)
	case len(e.entry.rest) == 0:
		return []byte("{}")
	default:
		dst := appendCompact([]byte{'{'}, string(e.entry.rest))
		dst[len(dst)-1] = '}' // for the last comma
		return dst
	}
}

// appendPart appends a part of an identity.
func appendPart(dst []byte, part string) []byte {
	const (
		maxPart = 255
		digits  = "0123456789ABCDEF"
	)
	start := len(dst)
	for i := 0; i < len(part); i++ {
		c := part[i]
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
		if len(dst)-start > maxPart {
			return appendHash(dst[:start], []byte(part))
		}
	}
	return dst
}

// appendHash appends the hash that stands for data in an identity. Parts never
// look like it, because a colon is not written as such in them.
func appendHash(dst, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(append(dst, "sha256:"...), sum[:])
}
