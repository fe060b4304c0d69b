package simulate

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/caddy-instagram/webhooks/event"
)

// Replay returns what an event file holds as deliveries, in its order. The file
// is as instagram_file writes it, in any of its formats, compressed or not.
//
// Up to batch events of the same object and family are put into one delivery;
// one at a time keeps their order. Around the events, which stay byte for byte
// as they are, a delivery looks as Meta writes it. A line that is no such
// delivery is sent as it is. For a malformed line there is an error instead, and
// they go on.
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

// gathering is a delivery in the making.
type gathering struct {
	object  json.RawMessage
	family  Family
	entries []json.RawMessage
	count   int // of the events
}

// parseDelivery takes a delivery apart, unless it has members besides "object"
// and "entry": then it is better left alone.
func parseDelivery(body []byte) (g gathering, plain bool) {
	plain = json.Valid(body)
	members(body, 0, func(name string, value []byte, _ int) {
		switch name {
		case "object":
			g.object = value
		case "entry":
			elements(value, 0, func(entry []byte, _ int) { g.entries = append(g.entries, entry) })
		default:
			plain = false
		}
	})
	events := event.Split(body)
	g.family, g.count = FamilyOf(events), len(events)
	return g, plain && g.object != nil && len(g.entries) > 0
}

// takes reports whether the events of next may come into the same delivery.
func (g *gathering) takes(next gathering, batch int) bool {
	return bytes.Equal(g.object, next.object) && g.count+next.count <= batch
}

func (g *gathering) add(next gathering) {
	g.object, g.family = next.object, next.family
	g.entries = append(g.entries, next.entries...)
	g.count += next.count
}

// body writes the delivery in the look of its family.
func (g *gathering) body() []byte {
	comma, colon := ", ", ": "
	if g.family == Messaging {
		comma, colon = ",", ":"
	}
	entries := []byte{'['}
	for i, entry := range g.entries {
		if i > 0 {
			entries = append(entries, comma...)
		}
		entries = g.appendEntry(entries, entry, comma, colon)
	}
	entries = append(entries, ']')
	if g.family == Messaging {
		return appendObject(nil, comma, colon, pair{"object", g.object}, pair{"entry", entries})
	}
	return appendObject(nil, comma, colon, pair{"entry", entries}, pair{"object", g.object})
}

// appendEntry appends an entry with its members in the order that goes with the
// family. What is no object stays as it is.
func (g *gathering) appendEntry(dst []byte, entry json.RawMessage, comma, colon string) []byte {
	var id, when, rest []pair
	members(entry, 0, func(name string, value []byte, _ int) {
		switch name {
		case "id":
			id = append(id, pair{name, value})
		case "time":
			when = append(when, pair{name, value})
		default:
			rest = append(rest, pair{name, value})
		}
	})
	if len(id)+len(when)+len(rest) == 0 {
		return append(dst, entry...)
	}
	if g.family == Messaging {
		return appendObject(dst, comma, colon, append(append(when, id...), rest...)...)
	}
	return appendObject(dst, comma, colon, append(append(id, when...), rest...)...)
}

// pair is a member of a JSON object.
type pair struct {
	name  string
	value json.RawMessage
}

func appendObject(dst []byte, comma, colon string, pairs ...pair) []byte {
	dst = append(dst, '{')
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, comma...)
		}
		name, _ := json.Marshal(p.name)
		dst = append(append(append(dst, name...), colon...), p.value...)
	}
	return append(dst, '}')
}
