package event

import "time"

// Kind is the family that an event belongs to: the list of an entry it comes
// under.
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

// Unparsed is the Field of an event that holds what could not be taken apart:
// a body that is not JSON or has no entries, an entry without items, or an
// item that does not say what it is. It is as authentic as any other event.
const Unparsed = "unparsed"

// Event is one update out of a delivery. Split makes events; the zero Event
// holds nothing. Copies of an Event share its text, which never changes. All
// its strings are as Meta sent them: they may hold any character.
type Event struct {
	// Object is the kind of object that the account is: "instagram", "page",
	// "user" and so on, and "threads" for the envelope of Threads, which does not
	// say. It is empty when the delivery does not say.
	Object string

	// Account is the id of the account that the event belongs to, in decimal
	// digits: entry.id, and for Threads the owner of the post that a thread began
	// with, or else target_id. It is empty when the entry does not say, and "0"
	// when the event comes from the dashboard's Test button.
	Account string

	// Field is the name of the webhook field, as it is subscribed to: the
	// "field" of a change, "standby" for everything under standby, and for a
	// message the field that its key stands for (see Fields); for a Page it is
	// the Page's own name, such as "message_reads". A message with a key that is
	// not known has the key itself as its field.
	Field string

	// Kind is the family of the event. It is empty when a whole delivery or
	// entry is Unparsed.
	Kind Kind

	// Sent is when Meta sent the delivery (entry.time). A delivery that is
	// sent again has a new one. It is zero when unknown.
	Sent time.Time

	// Time is when the event happened (the item's timestamp). It is zero when
	// Meta does not say, as for comments.
	Time time.Time

	// Sender is the id of the user, or of the account itself, who caused the
	// event: "sender" of a message, "from" of a comment, and of a message of
	// WhatsApp the telephone number or, without one, the user id. It may be
	// empty: Meta leaves it out of some messaging_seen and message_edit events.
	Sender string

	// Recipient is the id of the other side of a message, or of the one whom the
	// message of a WhatsApp status was sent to. It may be empty.
	Recipient string

	// Test tells an event that was sent by the Test button of Meta's App
	// Dashboard. Each press sends the same ids, so ID is always the same too.
	Test bool

	// Echo tells an event that the account caused itself: a message marked
	// is_echo, or any event whose sender is the account. Who answers these
	// answers himself. What the account's owner writes to the account itself, to
	// try it out, looks the same (is_self) as an answer to that: both are echoes.
	Echo bool

	// Unsent tells a message that its sender took back (is_deleted). It has
	// the same message id as the message it takes back.
	Unsent bool

	entry   *entry   // nil: a delivery that is unparsed as a whole
	list    string   // name of the list that the item stands in; "": item is the entry
	item    string   // raw text of the item
	details *details // of the item; nil: it has none
}

// about returns the details of the event's item.
func (e *Event) about() *details {
	if e.details == nil {
		return new(details)
	}
	return e.details
}
