package event

import "cmp"

// The lists of events that stand in the "values" of a delivery: alone, or in an
// array.
const (
	listValue  = "value"
	listValues = "values"
)

// threadsFields are the fields of Threads whose values are a post, of which each
// tells once.
var threadsFields = []string{"replies", "mentions", "publish", "delete"}

// threadsEnvelope is what a delivery of Threads has in place of entries. See
// Meta's "Threads › Webhooks".
type threadsEnvelope struct {
	target string // "target_id"
	time   string
	values []values
}

// values is where a member "values" begins, where its value does, and where both
// end.
type values struct{ begin, value, end int }

// threads adds the events of an envelope and reports whether it is one: a
// delivery with a target and without entries. Else its values are members like
// any other.
func (s *splitter) threads(d *delivery, envelope *threadsEnvelope, first int) bool {
	is := envelope.target != "" && len(s.events) == first
	for _, v := range envelope.values {
		before := len(s.events)
		if is {
			s.values(d, envelope, v)
		}
		if len(s.events) == before {
			d.rest = append(append(d.rest, s.text[v.begin:v.end]...), ',')
		}
	}
	return len(s.events) > first && is
}

// values adds the events of one member "values".
func (s *splitter) values(d *delivery, envelope *threadsEnvelope, v values) {
	in := scanner{text: s.text, pos: v.value}
	e := &entry{delivery: d}
	if in.peek() == '{' {
		s.threadsValue(e, envelope, listValue, s.text[v.value:v.end])
		return
	}
	for at := range in.elements {
		s.threadsValue(e, envelope, listValues, s.text[at:in.skipped()])
	}
}

// threadsValue adds the event of one value.
func (s *splitter) threadsValue(e *entry, envelope *threadsEnvelope, list, item string) {
	d := s.newDetails()
	ev := s.add(Event{entry: e, list: list, item: item, details: d, Kind: Change})
	in := scanner{text: item}
	ev.Field = in.change(d)
	var owner string
	if in = (scanner{text: d.value}); d.value != "" {
		owner = in.threadsPost(d)
	}
	ev.describe()
	ev.Account = cmp.Or(owner, envelope.target)
	ev.Sent = parseTime(envelope.time)
}

// threadsPost reads what the value of a post of Threads has besides, and returns
// the id of the account that the thread belongs to.
func (s *scanner) threadsPost(d *details) (owner string) {
	var author, ownerName string
	for _, name := range s.members {
		switch name {
		case "username":
			author = s.scalar()
		case "replied_to":
			d.parentID = s.reference()
		case "root_post":
			for _, name := range s.members {
				switch name {
				case "id":
					d.postID = s.scalar()
				case "owner_id":
					owner = s.scalar()
				case "username":
					ownerName = s.scalar()
				}
			}
		}
	}
	d.commentID = d.id
	d.echo = owner != "" && author != "" && author == ownerName
	return owner
}
