package event

import "time"

// Kind is the family that an event belongs to: the list of an entry that it comes in.
type Kind string

const (
	// Change is an update of an object's field, such as a comment. It comes
	// under "changes", flat in the entry, or, when the app subscribed without
	// values, as a bare name under "changed_fields". See Meta's "Webhooks for
	// Instagram › Notification payloads".
	Change Kind = "change"

	// Message is something that happened in a conversation, such as a message
	// or a reaction to one. It comes under "messaging". See Meta's "Instagram
	// Messaging › Webhooks".
	Message Kind = "message"

	// Standby is a Message in a conversation that another app controls. It
	// comes under "standby". See Meta's "Handover Protocol › Standby channel".
	Standby Kind = "standby"
)

// Unparsed is the Field of an event that holds what could not be taken apart: a body
// that is not JSON or has no entries, an entry without items, or an item that does
// not say what it is. It is as authentic as any other event.
const Unparsed = "unparsed"

// Event is one update in a delivery. Split makes events; the zero Event is empty.
// Copies of an Event share its text, which never changes. All strings are as Meta
// sent them and may hold any character.
type Event struct {
	// Object is the kind of object that the account is: "instagram", "page",
	// "user" and so on. It is "threads" for a delivery of Threads, which does not
	// name an object, and empty if another delivery does not.
	Object string

	// Account is the id of the account that the event belongs to, in decimal
	// digits: entry.id, or for Threads the owner of the post that began the thread,
	// or else target_id. It is empty if the entry names none, and "0" for an event of
	// the dashboard's Test button.
	Account string

	// Field is the name of the webhook field, as apps subscribe to it: the "field"
	// of a change, "standby" for everything under standby, and for a message the
	// field that its key stands for (see Fields). For a Page it is the Page's own
	// name, such as "message_reads". A message whose key is not known has the key
	// itself as its field.
	Field string

	// Kind is the family of the event. It is empty if a whole delivery or entry is
	// Unparsed.
	Kind Kind

	// Sent is when Meta sent the delivery (entry.time). It changes when Meta sends
	// the delivery again. It is zero if unknown.
	Sent time.Time

	// Time is when the event happened (the item's timestamp). It is zero if Meta
	// does not say, as for comments.
	Time time.Time

	// Sender is the id of the user, or of the account itself, who caused the event:
	// "sender" of a message, "from" of a comment, and for a message of WhatsApp the
	// telephone number or, without one, the user id. It may be empty: Meta leaves it
	// out of some messaging_seen and message_edit events.
	Sender string

	// Recipient is the id of the person or account that a message was sent to; for a
	// WhatsApp status, the one that the message which it is about was sent to. It
	// may be empty.
	Recipient string

	// Test reports whether the event was sent by the Test button of Meta's App
	// Dashboard, which always sends the same ids.
	Test bool

	// Echo reports whether the account caused the event itself: a message marked
	// is_echo, or any event whose sender is the account. A program that answers
	// these answers itself. What the account's owner writes to the account itself,
	// to try it out, is an echo too (is_self): it looks the same as the answer.
	Echo bool

	// Unsent reports whether the event takes a message back (is_deleted). It has the
	// same message id as the message itself.
	Unsent bool

	entry   *entry   // nil if the whole delivery is unparsed
	list    string   // name of the list that the item stands in; empty if item is the entry
	item    string   // raw text of the item
	details *details // of the item; nil if it has none
}

// about returns the details of the event's item.
func (e *Event) about() *details {
	if e.details == nil {
		return new(details)
	}
	return e.details
}

// MessageID returns the id of the message that the event is or is about, as Meta gives it
// ("mid"). It is empty if there is none.
func (e *Event) MessageID() string { return e.about().mid }
