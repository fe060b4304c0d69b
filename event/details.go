package event

import "cmp"

// details are the parts of an item that identify it. A part that the item lacks is
// empty.
type details struct {
	field string // that the key of a messaging item stands for
	key   string // the key itself; the list of a WhatsApp message or status
	rank  int    // of the key in messagingKeys

	sender, recipient, timestamp string

	id, commentID, mediaID, mediaObject string
	parentID, postID                    string

	mid, action, numEdit, payload, ref string
	echo, deleted                      bool
	lists                              bool // the value may hold several messages

	value string // raw value of the change
}

// media returns the id of the media that a change is about.
func (d *details) media() string { return cmp.Or(d.mediaID, d.mediaObject) }

// change reads an object with "field" and "value" and returns the field.
func (s *scanner) change(d *details) (field string) {
	for _, name := range s.Members {
		switch name {
		case "field":
			if s.Peek() == '"' {
				field = s.Scalar()
			}
		case "value":
			at := s.Pos
			s.details(d)
			d.value = s.Text[at:s.Pos]
		}
	}
	return field
}

// details reads a messaging item or the value of a change. One function reads both:
// no name means different things in them, and the Test button of Meta's App Dashboard
// sends messaging items as the values of changes.
func (s *scanner) details(d *details) {
	unknown := ""
	for _, name := range s.Members {
		switch name {
		case "sender", "from":
			s.sender(d)
		case "recipient":
			d.recipient = s.reference()
		case "timestamp":
			d.timestamp = s.Scalar()
		case "id":
			d.id = s.Scalar()
		case "comment_id":
			d.commentID = s.Scalar()
		case "media_id":
			d.mediaID = s.Scalar()
		case "media":
			d.mediaObject = s.reference()
		case "parent_id":
			d.parentID = s.Scalar()
		case "post_id":
			d.postID = s.Scalar()
		case listMessages, listStatuses:
			d.lists = d.lists || s.Peek() == '['
		default:
			if key, ok := messagingKeys[name]; ok {
				if d.key == "" || key.rank <= d.rank {
					d.key, d.field, d.rank = name, key.field, key.rank
					s.content(d)
				}
			} else if unknown == "" && s.Peek() == '{' {
				unknown = name
			}
		}
	}
	if d.field == "" {
		d.field = unknown
	}
}

// reference returns the id of an object such as {"id":"17…"}.
func (s *scanner) reference() (id string) {
	s.scalars([]scalarMember{{"id", &id}})
	return id
}

// sender reads who caused an event. A person who has not written yet may have a
// user_ref in place of an id. The account itself has two ids; if they are equal, it
// is the sender.
func (s *scanner) sender(d *details) {
	var id, ref, own string
	s.scalars([]scalarMember{{"id", &id}, {"user_ref", &ref}, {"self_ig_scoped_id", &own}})
	d.sender = cmp.Or(id, ref)
	d.echo = d.echo || id != "" && id == own
}

// content reads the object under the key of a messaging item, in place of that of
// another key.
func (s *scanner) content(d *details) {
	d.mid, d.action, d.numEdit, d.payload, d.ref = "", "", "", "", ""
	d.echo, d.deleted = false, false
	for _, name := range s.Members {
		switch name {
		case "mid":
			d.mid = s.Scalar()
		case "action":
			d.action = s.Scalar()
		case "num_edit":
			d.numEdit = s.Scalar()
		case "payload":
			d.payload = s.Scalar()
		case "ref":
			d.ref = s.Scalar()
		case "user_ref":
			if ref := s.Scalar(); d.sender == "" {
				d.sender = ref
			}
		case "is_echo":
			d.echo = s.IsTrue()
		case "is_deleted":
			d.deleted = s.IsTrue()
		}
	}
}
