package event

import (
	"strconv"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// Objects whose deliveries have shapes or names of their own.
const (
	objectPage      = "page"
	objectWhatsApp  = "whatsapp_business_account"
	objectThreads   = "threads"
	objectAdAccount = "ad_account"
)

// maxEvents is the largest number of events in a body. A body with more is Unparsed,
// to bound the memory. Meta sends up to a thousand.
const maxEvents = 100_000

// maxShared limits how much the envelopes of a body may repeat of what their events
// share, as a multiple of the body's size. Of what Meta sends they repeat a few hundred
// bytes an event; a body that was made to repeat much more is Unparsed.
const maxShared = 16

// delivery is what the events of one delivery object share.
type delivery struct {
	object string // raw value of "object", "" without one
	rest   []byte // the other members besides "entry", each followed by a comma
}

// entry is what the events of one entry share.
type entry struct {
	delivery *delivery
	id, time string // raw values, "" without one
	rest     []byte // the other members besides the lists, each followed by a comma
}

// Split takes the body of a delivery apart into its events, in order. It never
// fails: what cannot be taken apart becomes an event with the field Unparsed. So
// there is always at least one event, and every item of the body is in exactly one.
//
// Split understands every shape that Meta documents or sends, for any object: entries
// with "changes", "messaging", "standby" or "changed_fields", several of these at
// once, entries with "field" and "value" directly inside, an entry that is not in an
// array, an array of deliveries (see Meta's "Webhooks › Getting Started › Event
// notifications"), and deliveries of Threads. Each message and each status of
// WhatsApp is an event of its own. A byte order mark at the beginning is skipped. A
// body is Unparsed if it nests more than a thousand levels deep, has more than a
// hundred thousand items, or has large parts that many items share: the size of all
// envelopes together stays in proportion to the size of the body.
//
// Events refer to a copy of the body, which lives as long as any of them.
func Split(body []byte) []Event {
	s := splitter{scanner: newScanner(string(body))}
	if strings.HasPrefix(s.Text, byteOrderMark) {
		s.Pos = len(byteOrderMark)
	}
	s.events = make([]Event, 0, min(1+max(0, len(body)-512)/256, meta.MaxUpdates)) // events take 250 to 500 bytes
	if s.Space() == '[' {
		for at := range s.Elements {
			s.delivery(at, true)
		}
	} else {
		s.delivery(s.Pos, false)
	}
	s.Space()
	if s.Failed || s.Pos < len(s.Text) || !s.found {
		return []Event{{Field: Unparsed, item: s.Text}}
	}
	return s.events
}

// byteOrderMark may stand before a text in UTF-8. It is not part of the JSON.
const byteOrderMark = "\ufeff"

// splitter collects the events of a body.
type splitter struct {
	scanner
	events []Event
	room   []details // for the next events
	found  bool      // an entry was found
	shared int       // bytes that all envelopes together repeat
}

// newDetails returns room for the details of the next event.
func (s *splitter) newDetails() *details {
	if len(s.room) == 0 {
		s.room = make([]details, min(max(1, cap(s.events)-len(s.events)), 64))
	}
	d := &s.room[0]
	s.room = s.room[1:]
	return d
}

// delivery reads one delivery object, which begins at the position at.
func (s *splitter) delivery(at int, inArray bool) {
	d := &delivery{}
	first := len(s.events)
	var object, target string // target: of Threads
	hasValues := false
	for begin, name := range s.Members {
		switch {
		case name == "object":
			value := s.Pos
			object = s.Scalar()
			d.object = s.Text[value:s.Pos]
		case name == "entry" && s.Peek() == '[':
			for begin := range s.Elements {
				s.entry(d, begin)
			}
		case name == "entry" && s.Peek() == '{':
			s.entry(d, s.Pos)
		default:
			hasValues = hasValues || name == "values"
			if name == "target_id" {
				target = s.Scalar()
			} else {
				s.Skip()
			}
			d.rest = appendMember(d.rest, s.Text[begin:s.Pos])
		}
	}
	if target != "" && hasValues && len(s.events) == first {
		s.threads(d, target, s.Text[at:s.Pos])
		if len(s.events) > first && object == "" {
			object = objectThreads
		}
	}
	switch object {
	case objectWhatsApp:
		s.whatsApp(first)
	case objectPage:
		namePageFields(s.events[first:])
	case objectAdAccount:
		for i := range s.events[first:] {
			s.events[first+i].Test = false // all of its entries have the id "0"
		}
	}
	events := s.events[first:]
	for i := range events {
		events[i].Object = object
		s.share(len(d.object) + len(d.rest))
		if e := events[i].entry; e != nil {
			s.share(len(e.id) + len(e.time) + len(e.rest))
		}
	}
	if len(events) > 0 {
		s.found = true
	} else if inArray {
		s.add(Event{Field: Unparsed, item: "[" + s.Text[at:s.Pos] + "]"})
	}
}

// share counts bytes that the envelopes repeat, and fails if there are too many.
func (s *splitter) share(size int) {
	s.shared += size
	if s.shared > maxShared*len(s.Text)+1<<20 {
		s.Fail()
	}
}

// add adds an event and returns a pointer to it, which is valid until the next call.
func (s *splitter) add(ev Event) *Event {
	if len(s.events) == maxEvents {
		s.Fail()
	}
	s.events = append(s.events, ev)
	return &s.events[len(s.events)-1]
}

// entry reads one entry, which begins at the position at.
func (s *splitter) entry(d *delivery, at int) {
	e := &entry{delivery: d}
	first := len(s.events)
	var account, sent string
	flat := false
	for begin, name := range s.Members {
		switch name {
		case "id":
			value := s.Pos
			account = s.Scalar()
			e.id = s.Text[value:s.Pos]
			continue
		case "time":
			value := s.Pos
			sent = s.Scalar()
			e.time = s.Text[value:s.Pos]
			continue
		case "changes", "messaging", "standby", "changed_fields":
			if s.Peek() == '[' {
				for begin := range s.Elements {
					s.item(e, name, begin)
				}
				continue
			}
		case "field":
			flat = true
		}
		s.Skip()
		e.rest = appendMember(e.rest, s.Text[begin:s.Pos])
	}
	if len(s.events) == first {
		s.bare(e, s.Text[at:s.Pos], flat)
	}
	events := s.events[first:]
	when := parseTime(sent)
	for i := range events {
		ev := &events[i]
		ev.Account = account
		ev.Sent = when
		ev.Test = account == meta.TestAccount || ev.Sender == meta.TestSender && ev.Recipient == meta.TestRecipient
		ev.Echo = ev.Echo || ev.Sender != "" && ev.Sender == account
	}
}

// item reads one item of a list of e, which begins at the position at.
func (s *splitter) item(e *entry, list string, at int) {
	d := s.newDetails()
	ev := s.add(Event{entry: e, list: list, details: d})
	switch list {
	case "messaging":
		ev.Kind = Message
		s.details(d)
		ev.Field = d.field
	case "standby":
		ev.Kind = Standby
		ev.Field = "standby"
		s.details(d)
	case "changes":
		ev.Kind = Change
		ev.Field = s.change(d)
	case "changed_fields":
		ev.Kind = Change
		if s.Peek() == '"' {
			ev.Field = s.Scalar()
		} else {
			s.Skip()
		}
	}
	ev.item = s.Text[at:s.Pos]
	ev.describe()
}

// bare adds the event of an entry that has no items: a change if the entry itself is
// one, or else the entry as it is.
func (s *splitter) bare(e *entry, text string, flat bool) {
	ev := s.add(Event{entry: e, item: text})
	if flat {
		ev.details = s.newDetails()
		in := newScanner(text)
		if ev.Field = in.change(ev.details); ev.Field != "" {
			ev.Kind = Change
		}
	}
	ev.describe()
}

// describe copies what the item says of itself.
func (e *Event) describe() {
	d := e.about()
	if e.Field == "" {
		e.Field = Unparsed
	}
	e.Sender = d.sender
	e.Recipient = d.recipient
	e.Time = parseTime(d.timestamp)
	e.Echo = d.echo
	e.Unsent = d.deleted
}

// Times later than this number of seconds are in milliseconds: it is the year
// 5138 as seconds, and 1973 as milliseconds.
const maxSeconds = 1e11

// isoTime is how Threads writes a time.
const isoTime = "2006-01-02T15:04:05-0700"

// parseTime reads a number of seconds or milliseconds since 1970 in decimal
// digits, or a time as Threads writes it. It returns the zero time for anything
// else, and beyond the year 9999.
func parseTime(digits string) time.Time {
	if digits == "" {
		return time.Time{}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil && len(digits) == len(isoTime) {
		t, _ := time.Parse(isoTime, digits)
		return t.UTC()
	}
	if err != nil || n == 0 || n >= 253402300800_000 {
		return time.Time{}
	}
	if n < maxSeconds {
		n *= 1000
	}
	return time.UnixMilli(int64(n)).UTC()
}
