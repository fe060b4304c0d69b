// Package sample makes up deliveries in every shape that Meta sends them in,
// for tests and for simulators. The same seed gives the same deliveries.
package sample

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// Generator makes deliveries for a handful of accounts. No two of its events
// have the same ID, except those of TestButton. It is not safe for concurrent
// use.
type Generator struct {
	// Time is when the next event will happen. Every event moves it on by up
	// to two seconds. New sets it to the first of November 2026.
	Time time.Time

	random   *rand.Rand
	accounts []string
	lastID   uint64
}

// New returns a generator whose deliveries depend on nothing but the seed.
func New(seed uint64) *Generator {
	g := &Generator{
		Time:   time.Date(2026, time.November, 1, 9, 0, 0, 0, time.UTC),
		random: rand.New(rand.NewPCG(seed, 0x1257a62a3)),
	}
	g.lastID = g.random.Uint64N(idSpace)
	for range 5 {
		g.accounts = append(g.accounts, g.id("178"))
	}
	return g
}

// StyleOf returns the style in which Meta sends the events of a field.
func StyleOf(field string) Style {
	if kindOf(field) == event.Change {
		return Spaced
	}
	return Compact
}

func kindOf(field string) event.Kind {
	if f, ok := event.FieldByName(field); ok {
		return f.Kind
	}
	return event.Change
}

// Delivery returns a delivery of n events in the given style, one field after
// the other in turns. Fields that the event package knows have realistic
// contents, any other name makes a plain change. Up to three events of a kind
// share an entry, as happens when a lot happens at once.
func (g *Generator) Delivery(style Style, n int, fields ...string) []byte {
	entries := list{}
	for i := 0; i < n; {
		kind := kindOf(fields[i%len(fields)])
		account := pick(g, g.accounts)
		items := list{}
		for most := i + 1 + g.random.IntN(3); i < n && i < most && kindOf(fields[i%len(fields)]) == kind; i++ {
			items = append(items, g.item(fields[i%len(fields)], account))
		}
		entries = append(entries, g.entry(style, kind, account, items))
	}
	return wrap(style, entries)
}

// entry returns an entry, with its members in the order that goes with the
// style and its time in the unit that goes with the kind.
func (g *Generator) entry(style Style, kind event.Kind, account string, items list) object {
	sent := g.Time.Add(time.Duration(50+g.random.IntN(900)) * time.Millisecond)
	when, name := sent.UnixMilli(), "messaging"
	switch kind {
	case event.Change:
		when, name = sent.Unix(), "changes"
	case event.Standby:
		name = "standby"
	}
	if style == Compact {
		return object{{"time", when}, {"id", account}, {name, items}}
	}
	return object{{"id", account}, {"time", when}, {name, items}}
}

// wrap returns the delivery with these entries.
func wrap(style Style, entries list) []byte {
	d := object{{"entry", entries}, {"object", meta.ObjectInstagram}}
	if style == Compact {
		d[0], d[1] = d[1], d[0]
	}
	return style.render(nil, d)
}

// TestButton returns what the Test button of Meta's App Dashboard sends for a
// field: one change of the account "0", whatever the kind of the field, with
// the ids that it always has.
func (g *Generator) TestButton(field string) []byte {
	value := object{{"id", "17849203761125840"}, {"text", "An example."}}
	switch kindOf(field) {
	case event.Message, event.Standby:
		item := g.item(field, meta.TestRecipient).(object)
		content := item[len(item)-1]
		if fields, ok := content.value.(object); ok && len(fields) > 0 && fields[0].name == "mid" {
			content.value = object{{"mid", meta.TestMessage}, {"text", "random_text"}}
		}
		value = object{
			{"sender", object{{"id", meta.TestSender}}},
			{"recipient", object{{"id", meta.TestRecipient}}},
			{"timestamp", "1527459824"},
			content,
		}
	}
	change := object{{"field", field}, {"value", value}}
	return wrap(Spaced, list{g.entry(Spaced, event.Change, meta.TestAccount, list{change})})
}

// idSpace is the number of ids: those of fourteen digits.
const idSpace = 100_000_000_000_000

// id returns a new id of fourteen digits behind prefix. The step shares no divisor with the
// number of ids, so that none comes twice.
func (g *Generator) id(prefix string) string {
	g.lastID = (g.lastID + 61_803_398_874_989) % idSpace
	digits := strconv.FormatUint(idSpace+g.lastID, 10)
	return prefix + digits[1:]
}

// token returns n characters as message ids are made of.
func (g *Generator) token(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[g.random.IntN(len(alphabet))]
	}
	return string(text)
}

// mid returns a new message id.
func (g *Generator) mid() string { return "aWdfZAG1faXRlbTox" + g.token(139) + "ZDZD" }

func pick[T any](g *Generator, from []T) T { return from[g.random.IntN(len(from))] }
