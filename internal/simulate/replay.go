package simulate

import (
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/jsonscan"
)

// Replay returns what an event file holds as deliveries, in its order. The file
// is as instagram_file writes it, in any of its formats, compressed or not.
//
// Up to batch events of the same object and family are put into one delivery;
// one at a time keeps their order. Around the events, which stay byte for byte
// as they are, a delivery looks as Meta writes it. A line that is no such
// delivery is sent as it is. For a malformed line there is an error instead, and
// the deliveries go on. Nothing is sent for one that was erased.
func Replay(r io.Reader, batch int) Deliveries {
	return func(yield func([]byte, error) bool) {
		var open [2]gathering // by family
		flush := func(g *gathering) bool {
			full := *g
			*g = gathering{}
			return full.count == 0 || yield(full.body(), nil)
		}
		for l, err := range lines(r) {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if l.body == nil {
				continue
			}
			next, plain := parseDelivery(l.body)
			if !plain {
				if !yield(l.body, nil) {
					return
				}
				continue
			}
			g := &open[next.family]
			if !g.takes(next, batch) && !flush(g) {
				return
			}
			g.add(next)
			if g.count >= batch && !flush(g) {
				return
			}
		}
		_ = flush(&open[Changes]) && flush(&open[Messaging])
	}
}

// gathering collects the events of one delivery.
type gathering struct {
	object  string // JSON
	family  Family
	entries []string // JSON
	count   int      // of the events
}

// parseDelivery takes a delivery apart, unless it has members besides "object"
// and "entry": then it is better left alone.
func parseDelivery(body []byte) (g gathering, plain bool) {
	in := jsonscan.Scanner{Text: string(body)}
	plain = jsonscan.Valid(in.Text)
	in.Space()
	for _, name := range in.Members {
		switch name {
		case "object":
			g.object = in.Raw()
		case "entry":
			for range in.Elements {
				g.entries = append(g.entries, in.Raw())
			}
		default:
			plain = false
		}
	}
	events := event.Split(body)
	g.family, g.count = FamilyOf(events), len(events)
	return g, plain && g.object != "" && len(g.entries) > 0
}

// takes reports whether the events of next may come into the same delivery.
func (g *gathering) takes(next gathering, batch int) bool {
	return g.object == next.object && g.count+next.count <= batch
}

func (g *gathering) add(next gathering) {
	g.object, g.family = next.object, next.family
	g.entries = append(g.entries, next.entries...)
	g.count += next.count
}

// body writes the delivery in the look of its family.
func (g *gathering) body() []byte {
	style := style{comma: ", ", colon: ": "}
	if g.family == Messaging {
		style.comma, style.colon = ",", ":"
	}
	entries := make([]string, len(g.entries))
	for i, entry := range g.entries {
		entries[i] = g.entry(entry, style)
	}
	all := member{"entry", "[" + strings.Join(entries, style.comma) + "]"}
	if g.family == Messaging {
		return []byte(style.object(member{"object", g.object}, all))
	}
	return []byte(style.object(all, member{"object", g.object}))
}

// entry returns an entry with its members in the order that goes with the
// family. What is no object stays as it is.
func (g *gathering) entry(entry string, style style) string {
	var id, when, rest []member
	in := jsonscan.Scanner{Text: entry}
	for _, name := range in.Members {
		switch m := (member{name, in.Raw()}); name {
		case "id":
			id = append(id, m)
		case "time":
			when = append(when, m)
		default:
			rest = append(rest, m)
		}
	}
	switch {
	case len(id)+len(when)+len(rest) == 0:
		return entry
	case g.family == Messaging:
		return style.object(slices.Concat(when, id, rest)...)
	}
	return style.object(slices.Concat(id, when, rest)...)
}

// style is how JSON is written.
type style struct{ comma, colon string }

// member is a member of a JSON object.
type member struct{ name, value string }

func (s style) object(members ...member) string {
	parts := make([]string, len(members))
	for i, m := range members {
		name, _ := json.Marshal(m.name) // a string can be written
		parts[i] = string(name) + s.colon + m.value
	}
	return "{" + strings.Join(parts, s.comma) + "}"
}
