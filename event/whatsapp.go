package event

import (
	"cmp"
	"slices"

	"github.com/caddy-instagram/webhooks/internal/jsonscan"
)

// The lists of a WhatsApp change whose items are events. See Meta's "WhatsApp ›
// Webhooks › messages".
const (
	listMessages = "messages"
	listStatuses = "statuses"
)

// whatsApp replaces the changes among the events from first on by an event for
// each of their messages and statuses.
func (s *splitter) whatsApp(first int) {
	several := false
	for i := range s.events[first:] {
		e := &s.events[first+i]
		e.Echo = e.Echo || e.Field == "smb_message_echoes" // sent from the business's app
		several = several || e.holdsList()
	}
	if !several {
		return
	}
	changes := slices.Clone(s.events[first:])
	s.events = s.events[:first]
	for i := range changes {
		if changes[i].holdsList() {
			s.whatsAppChange(&changes[i])
		} else {
			s.add(changes[i])
		}
	}
}

// holdsList reports whether the event is a change that may hold several messages.
func (e *Event) holdsList() bool { return e.list == "changes" && e.details.lists }

// whatsAppChange is a change, taken apart. Members are raw and each followed by a
// comma.
type whatsAppChange struct {
	members  []byte // besides "value"
	value    []byte // its members besides contacts and items
	values   int    // how many members "value" there are
	contacts []whatsAppContact
	items    []whatsAppItem
}

// whatsAppContact is a person, with telephone number and user id.
type whatsAppContact struct {
	text         string
	number, user string
}

// whatsAppItem is a message or a status.
type whatsAppItem struct {
	list, text string
	contacts   []int // those that stand beside it

	id, timestamp              string
	from, fromUser, to, toUser string // telephone numbers and user ids
	status, recipientType      string
}

// whatsAppChange adds the events of a change.
func (s *splitter) whatsAppChange(whole *Event) {
	c := readWhatsAppChange(whole.item)
	if c.values != 1 || len(c.items) == 0 {
		s.add(*whole)
		return
	}
	first := len(s.events)
	for i := range c.items {
		e := *whole
		e.details = s.newDetails()
		e.details.value = whole.details.value
		c.items[i].describe(e.details)
		e.describe()
		e.Echo = e.Echo || whole.Echo
		s.add(e)
	}
	if len(c.items) > 1 { // else it is an event as it stands
		s.separate(&c, s.events[first:], len(whole.item))
	}
}

// separate gives each of events a change that holds just its own item. The size is
// that of the whole change.
func (s *splitter) separate(c *whatsAppChange, events []Event, size int) {
	s.assignContacts(c)
	s.share(len(c.items) * (len(c.members) + len(c.value)))
	if s.Failed {
		return
	}
	const punctuation = len(`{"value":{"contacts":[],"":[]}}`)
	text := make([]byte, 0, size+len(c.items)*(len(c.members)+len(c.value)+punctuation+len(listMessages)))
	ends := make([]int, len(events))
	for i := range c.items {
		text = append(append(text, '{'), c.members...)
		text = append(append(text, `"value":{`...), c.value...)
		text = c.appendContacts(text, c.items[i].contacts)
		text = append(append(append(text, '"'), c.items[i].list...), `":[`...)
		text = append(append(text, c.items[i].text...), "]}}"...)
		ends[i] = len(text)
	}
	all, start := string(text), 0
	for i, end := range ends {
		events[i].item = all[start:end]
		start = end
	}
}

// appendContacts appends contacts as a member and a comma.
func (c *whatsAppChange) appendContacts(dst []byte, which []int) []byte {
	if len(which) == 0 {
		return dst
	}
	dst = append(dst, `"contacts":[`...)
	for _, n := range which {
		dst = appendMember(dst, c.contacts[n].text)
	}
	dst[len(dst)-1] = ']' // for the last comma
	return append(dst, ',')
}

// readWhatsAppChange takes the text of a change apart.
func readWhatsAppChange(text string) (c whatsAppChange) {
	s := newScanner(text)
	for begin, name := range s.Members {
		if name == "value" {
			c.values++
			s.whatsAppValue(&c)
			continue
		}
		s.Skip()
		c.members = appendMember(c.members, text[begin:s.Pos])
	}
	return c
}

func (s *scanner) whatsAppValue(c *whatsAppChange) {
	for begin, name := range s.Members {
		before := len(c.contacts) + len(c.items)
		switch name {
		case "contacts":
			for at := range s.Elements {
				contact := s.whatsAppContact()
				contact.text = s.Text[at:s.Pos]
				c.contacts = append(c.contacts, contact)
			}
		case listMessages, listStatuses:
			for at := range s.Elements {
				item := s.whatsAppItem()
				item.list, item.text = name, s.Text[at:s.Pos]
				c.items = append(c.items, item)
			}
		default:
			s.Skip()
		}
		if len(c.contacts)+len(c.items) == before { // any other member, or an empty list
			c.value = appendMember(c.value, s.Text[begin:s.Pos])
		}
	}
}

func (s *scanner) whatsAppContact() (c whatsAppContact) {
	s.scalars([]scalarMember{{"wa_id", &c.number}, {"user_id", &c.user}})
	return c
}

func (s *scanner) whatsAppItem() (i whatsAppItem) {
	s.scalars([]scalarMember{
		{"id", &i.id},
		{"timestamp", &i.timestamp},
		{"from", &i.from},
		{"from_user_id", &i.fromUser},
		{"recipient_id", &i.to},
		{"recipient_user_id", &i.toUser},
		{"status", &i.status},
		{"recipient_type", &i.recipientType},
	})
	return i
}

// describe copies what the item says of itself.
func (i *whatsAppItem) describe(d *details) {
	d.key, d.mid, d.timestamp = i.list, i.id, i.timestamp
	if i.list == listMessages {
		d.sender = cmp.Or(i.from, i.fromUser)
		return
	}
	d.recipient = cmp.Or(i.to, i.toUser)
	if i.recipientType != "group" { // each member of a group has a status of its own
		d.action = i.status
	}
}

// assignContacts decides which contacts stand beside each item: those of the people
// that it is from or for. Programs read the first contact, and must not take another
// person for the sender. If there are as many contacts of nobody in particular as
// messages without a contact, each message gets one of them. Otherwise they all
// stand beside one item, after its own.
func (s *splitter) assignContacts(c *whatsAppChange) {
	ofPerson := make(map[string][]int)
	for n := range c.contacts {
		for _, id := range []string{c.contacts[n].number, c.contacts[n].user} {
			ofPerson[id] = append(ofPerson[id], n)
		}
	}
	delete(ofPerson, "")

	var without []*whatsAppItem // messages
	var first *whatsAppItem     // with a contact
	assigned := make([]bool, len(c.contacts))
	for i := range c.items {
		item := &c.items[i]
		for _, id := range []string{item.from, item.fromUser, item.to, item.toUser} {
			for _, n := range ofPerson[id] {
				s.share(len(c.contacts[n].text) + 1)
				item.contacts = append(item.contacts, n)
				assigned[n] = true
			}
			if s.Failed {
				return
			}
		}
		slices.Sort(item.contacts)
		item.contacts = slices.Compact(item.contacts)
		switch {
		case len(item.contacts) > 0:
			first = cmp.Or(first, item)
		case item.list == listMessages:
			without = append(without, item)
		}
	}
	var rest []int
	for n := range c.contacts {
		if !assigned[n] {
			rest = append(rest, n)
		}
	}
	if len(rest) != len(without) {
		first = cmp.Or(first, &c.items[0])
		first.contacts = append(first.contacts, rest...)
		return
	}
	for n, item := range without {
		item.contacts = append(item.contacts, rest[n])
	}
}

// isWhatsAppItem reports whether the event is one message or status of WhatsApp.
func (d *details) isWhatsAppItem() bool { return d.key == listMessages || d.key == listStatuses }

// compactWhatsApp returns what the hash of a message or status is taken of: the
// value with just this item, and without contacts, since these depend on what else
// Meta sends in the same change.
func compactWhatsApp(change string) []byte {
	c := readWhatsAppChange(change)
	dst := []byte{'{'}
	s := newScanner("{" + string(c.value) + `"":0}`)
	for begin, name := range s.Members {
		s.Skip()
		switch name {
		case "", "contacts", listMessages, listStatuses:
			continue
		}
		dst = append(jsonscan.AppendCompact(dst, s.Text[begin:s.Pos]), ',')
	}
	dst = append(append(append(dst, '"'), c.items[0].list...), `":[`...)
	dst = jsonscan.AppendCompact(dst, c.items[0].text)
	return append(dst, "]}"...)
}
