// Package sample makes up deliveries in every shape that Meta sends, for tests of
// applications and for simulators. The same seed gives the same deliveries.
package sample

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// Generator makes deliveries for a handful of accounts. All its events have
// different IDs, except those of TestButton. It is not safe for concurrent use.
type Generator struct {
	// Time is when the last event happened: each event is up to two seconds later
	// than the one before. New sets it to 1 November 2026.
	Time time.Time

	random   *rand.Rand
	accounts []string
	lastID   uint64
}

// New returns a generator whose deliveries depend only on the seed.
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

// Delivery returns a delivery of n events in the given style, of each of the fields
// in turn. Events of a field that package event knows have realistic contents, those
// of any other field are simple changes. Up to three events of a kind share an entry,
// as when many things happen at once.
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

// entry returns an entry. The style decides the order of its members, and the kind the
// unit of its time.
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

// TestButton returns what the Test button of Meta's App Dashboard sends for a field:
// one change of the account "0", whatever the kind of the field, always with the same
// ids.
func (g *Generator) TestButton(field string) []byte {
	value := object{{"id", "17849203761125840"}, {"text", "An example."}}
	if kindOf(field) != event.Change {
		item := g.item(field, meta.TestRecipient)
		content := item[len(item)-1]
		if content.value.(object)[0].name == "mid" {
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

// id returns a new id: prefix and fourteen digits. The step and the number of ids have
// no common divisor, so that no id is made twice.
func (g *Generator) id(prefix string) string {
	g.lastID = (g.lastID + 61_803_398_874_989) % idSpace
	digits := strconv.FormatUint(idSpace+g.lastID, 10)
	return prefix + digits[1:]
}

// token returns n characters, such as message ids consist of.
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
