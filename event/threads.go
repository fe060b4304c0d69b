package event

import "cmp"

// The lists of the events of Threads: the "values" of a delivery are one value, or
// an array.
const (
	listValue  = "value"
	listValues = "values"
)

// threadsFields are the fields of Threads whose value is a post, about which Meta
// sends one event for each field.
var threadsFields = []string{"replies", "mentions", "publish", "delete"}

// threads adds the events of a delivery that has "values" and a "target_id" in
// place of entries. See Meta's "Threads › Webhooks".
func (s *splitter) threads(d *delivery, target, text string) {
	first := len(s.events)
	var sent string
	in := newScanner(text)
	d.rest = nil
	for begin, name := range in.Members {
		before := len(s.events)
		switch name {
		case "object":
			continue
		case "time":
			sent = in.Scalar()
		case "values":
			s.threadsValues(d, &in)
		default:
			in.Skip()
		}
		if len(s.events) == before {
			d.rest = appendMember(d.rest, text[begin:in.Pos])
		}
	}
	when := parseTime(sent)
	for i := range s.events[first:] {
		e := &s.events[first+i]
		e.Account = cmp.Or(e.Account, target)
		e.Sent = when
	}
}

// threadsValues adds the event of a value, or those of an array of values.
func (s *splitter) threadsValues(d *delivery, in *scanner) {
	e := &entry{delivery: d}
	if in.Peek() == '{' {
		s.threadsValue(e, listValue, in.Raw())
		return
	}
	for range in.Elements {
		s.threadsValue(e, listValues, in.Raw())
	}
}

// threadsValue adds the event of one value.
func (s *splitter) threadsValue(e *entry, list, item string) {
	d := s.newDetails()
	ev := s.add(Event{entry: e, list: list, item: item, details: d, Kind: Change})
	in := newScanner(item)
	ev.Field = in.change(d)
	post := newScanner(d.value)
	ev.Account = post.threadsPost(d)
	ev.describe()
}

// threadsPost reads what the value of a post has besides what other changes have,
// and returns the id of the account that began the thread.
func (s *scanner) threadsPost(d *details) (owner string) {
	var author, ownerName string
	for _, name := range s.Members {
		switch name {
		case "username":
			author = s.Scalar()
		case "replied_to":
			d.parentID = s.reference()
		case "root_post":
			s.scalars([]scalarMember{{"id", &d.postID}, {"owner_id", &owner}, {"username", &ownerName}})
		}
	}
	d.commentID = d.id
	d.echo = owner != "" && author != "" && author == ownerName
	return owner
}
