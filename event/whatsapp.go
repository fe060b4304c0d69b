package event

import (
	"cmp"
	"slices"
)

// The lists of a WhatsApp change whose items are events. See Meta's "WhatsApp ›
// Webhooks › messages".
const (
	listMessages = "messages"
	listStatuses = "statuses"
)

// whatsApp makes an event of each message and each status in the events from
// first on, which are changes.
func (s *splitter) whatsApp(first int) {
	several := false
	for i := range s.events[first:] {
		e := &s.events[first+i]
		e.Echo = e.Echo || e.Field == "smb_message_echoes" // the business wrote them in its app
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

// holdsList reports whether the event may be a change with several messages.
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

type whatsAppContact struct {
	text     string
	id, user string // telephone number and user id
}

// whatsAppItem is a message or a status.
type whatsAppItem struct {
	list, text string

	id, from, fromUser, timestamp     string
	status, recipient, toUser, toType string
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
		d := s.newDetails()
		c.items[i].describe(d)
		d.value = whole.details.value
		e := *whole
		e.details = d
		e.describe()
		e.Echo = e.Echo || whole.Echo
		s.add(e)
	}
	if len(c.items) > 1 { // else it is an event as it stands
		s.alone(&c, s.events[first:])
	}
}

// alone gives each of events a change that holds just its own item.
func (s *splitter) alone(c *whatsAppChange, events []Event) {
	contacts := s.contactsOfItems(c)
	s.share(len(c.items) * (len(c.members) + len(c.value)))
	if s.bad {
		return
	}
	size := len(c.items) * (len(c.members) + len(c.value) + len(`{"value":{"contacts":[],"":[]}}`))
	for i := range c.items {
		size += len(c.items[i].list) + len(c.items[i].text)
		for _, n := range contacts[i] {
			size += len(c.contacts[n].text) + 1
		}
	}
	text := make([]byte, 0, size)
	ends := make([]int, len(events))
	for i := range c.items {
		text = append(append(text, '{'), c.members...)
		text = append(append(text, `"value":{`...), c.value...)
		text = c.appendContacts(text, contacts[i])
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
	dst = append(dst, `"contacts":`...)
	separator := byte('[')
	for _, n := range which {
		dst = append(append(dst, separator), c.contacts[n].text...)
		separator = ','
	}
	return append(dst, "],"...)
}

// readWhatsAppChange takes the text of a change apart.
func readWhatsAppChange(text string) (c whatsAppChange) {
	s := scanner{text: text}
	for begin, name := range s.members {
		if name == "value" {
			c.values++
			s.whatsAppValue(&c)
			continue
		}
		s.skip()
		c.members = append(append(c.members, text[begin:s.pos]...), ',')
	}
	return c
}

func (s *scanner) whatsAppValue(c *whatsAppChange) {
	for begin, name := range s.members {
		before := len(c.contacts) + len(c.items)
		switch name {
		case "contacts":
			for at := range s.elements {
				contact := s.whatsAppContact()
				contact.text = s.text[at:s.pos]
				c.contacts = append(c.contacts, contact)
			}
		case listMessages, listStatuses:
			for at := range s.elements {
				item := s.whatsAppItem()
				item.list, item.text = name, s.text[at:s.pos]
				c.items = append(c.items, item)
			}
		default:
			s.skip()
		}
		if len(c.contacts)+len(c.items) == before { // any other member, or an empty list
			c.value = append(append(c.value, s.text[begin:s.pos]...), ',')
		}
	}
}

func (s *scanner) whatsAppContact() (c whatsAppContact) {
	for _, name := range s.members {
		switch name {
		case "wa_id":
			c.id = s.scalar()
		case "user_id":
			c.user = s.scalar()
		}
	}
	return c
}

func (s *scanner) whatsAppItem() (i whatsAppItem) {
	for _, name := range s.members {
		switch name {
		case "id":
			i.id = s.scalar()
		case "from":
			i.from = s.scalar()
		case "from_user_id":
			i.fromUser = s.scalar()
		case "timestamp":
			i.timestamp = s.scalar()
		case "status":
			i.status = s.scalar()
		case "recipient_id":
			i.recipient = s.scalar()
		case "recipient_user_id":
			i.toUser = s.scalar()
		case "recipient_type":
			i.toType = s.scalar()
		}
	}
	return i
}

// describe copies what the item says of itself.
func (i *whatsAppItem) describe(d *details) {
	d.key, d.timestamp = i.list, i.timestamp
	if i.list == listMessages {
		d.mid, d.sender = i.id, cmp.Or(i.from, i.fromUser)
		return
	}
	d.mid, d.recipient = i.id, cmp.Or(i.recipient, i.toUser)
	d.action = i.status
	if i.toType == "group" {
		d.action = "" // each member of the group has a status of its own
	}
}

// people returns the ids of whom the item is from or for, "" for none.
func (i *whatsAppItem) people() [4]string {
	return [4]string{i.from, i.fromUser, i.recipient, i.toUser}
}

// contactsOfItems returns which contacts stand beside each item: those of its
// people. Programs read the first contact, and must not take another person for
// the sender. Contacts of nobody in particular belong to the messages that have
// none, one to each, where there are as many; else all stand beside one item, after
// its own.
func (s *splitter) contactsOfItems(c *whatsAppChange) [][]int {
	contacts := make(map[string][]int) // id of a person → contacts
	for n := range c.contacts {
		contact := &c.contacts[n]
		contacts[contact.id] = append(contacts[contact.id], n)
		if contact.user != contact.id {
			contacts[contact.user] = append(contacts[contact.user], n)
		}
	}
	delete(contacts, "")

	all := make([][]int, len(c.items))
	owned := make([]bool, len(c.contacts))
	var without []int // messages
	withOwn := 0
	for i := range c.items {
		for _, id := range c.items[i].people() {
			for _, n := range contacts[id] {
				s.share(len(c.contacts[n].text) + 1)
				all[i] = append(all[i], n)
			}
			if s.bad {
				return nil
			}
		}
		slices.Sort(all[i])
		all[i] = slices.Compact(all[i])
		for _, n := range all[i] {
			owned[n] = true
		}
		switch {
		case len(all[i]) > 0 && len(all[withOwn]) == 0:
			withOwn = i
		case len(all[i]) == 0 && c.items[i].list == listMessages:
			without = append(without, i)
		}
	}
	var spare []int
	for n, taken := range owned {
		if !taken {
			spare = append(spare, n)
		}
	}
	if len(spare) != len(without) {
		all[withOwn] = append(all[withOwn], spare...)
		return all
	}
	for n, i := range without {
		all[i] = append(all[i], spare[n])
	}
	return all
}

// isWhatsAppItem reports whether the event is one message or status of WhatsApp.
func (d *details) isWhatsAppItem() bool { return d.key == listMessages || d.key == listStatuses }

// compactWhatsApp returns what the hash of a message or status is taken of: the
// value with just this item, and without contacts, since these differ with what
// else Meta sends in the same change.
func compactWhatsApp(change string) []byte {
	c := readWhatsAppChange(change)
	var dst []byte
	dst = append(dst, '{')
	s := scanner{text: "{" + string(c.value) + `"":0}`}
	for begin, name := range s.members {
		s.skip()
		switch name {
		case "", "contacts", listMessages, listStatuses:
			continue
		}
		dst = append(appendCompact(dst, s.text[begin:s.pos]), ',')
	}
	dst = append(append(append(dst, '"'), c.items[0].list...), `":[`...)
	dst = appendCompact(dst, c.items[0].text)
	return append(dst, "]}"...)
}
