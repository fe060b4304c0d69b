package event_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRandomShapes checks deliveries that are put together at random out of
// names that Meta uses and values that it does not.
func TestRandomShapes(t *testing.T) {
	for seed := range uint64(3_000) {
		g := shapes{rand.New(rand.NewPCG(seed, 2))}
		body := g.list(1, 3, (*shapes).delivery)
		if g.IntN(4) > 0 {
			body = g.delivery()
		}
		if checkSplit(t, []byte(body)); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type shapes struct{ *rand.Rand }

func (g *shapes) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g *shapes) space() string { return g.pick("", "", "", " ", "\n", "\t\r\n ") }

// often returns what make makes, and any value once in a while.
func (g *shapes) often(make func(*shapes) string) string {
	if g.IntN(12) == 0 {
		return g.any(3)
	}
	return make(g)
}

func (g *shapes) list(least, most int, make func(*shapes) string) string {
	var b strings.Builder
	b.WriteString("[" + g.space())
	for i := range least + g.IntN(most-least+1) {
		if i > 0 {
			b.WriteString(g.space() + "," + g.space())
		}
		b.WriteString(g.often(make))
	}
	return b.String() + g.space() + "]"
}

// object returns up to most members out of names, in any order, some twice.
func (g *shapes) object(most int, names ...string) string {
	var b strings.Builder
	b.WriteString("{" + g.space())
	for i := range g.IntN(most + 1) {
		if i > 0 {
			b.WriteString(g.space() + "," + g.space())
		}
		name := g.pick(names...)
		b.WriteString(g.name(name) + g.space() + ":" + g.space() + g.often(member(name)))
	}
	return b.String() + g.space() + "}"
}

// name quotes a name, sometimes with an escape.
func (g *shapes) name(name string) string {
	if i := g.IntN(len(name)); g.IntN(10) == 0 {
		return fmt.Sprintf(`"%s\u%04x%s"`, name[:i], name[i], name[i+1:])
	}
	return `"` + name + `"`
}

func member(name string) func(*shapes) string {
	switch name {
	case "object":
		return func(g *shapes) string {
			return g.pick(`"instagram"`, `"page"`, `"whatsapp_business_account"`, `"whatsapp_business_account"`, `"ad_account"`, g.scalar())
		}
	case "entry":
		return func(g *shapes) string {
			if g.IntN(10) == 0 {
				return g.entry()
			}
			return g.list(0, 3, (*shapes).entry)
		}
	case "values":
		return func(g *shapes) string {
			if g.IntN(2) == 0 {
				return g.change()
			}
			return g.list(0, 3, (*shapes).change)
		}
	case "contacts", "messages", "statuses":
		return func(g *shapes) string { return g.list(0, 3, (*shapes).whatsApp) }
	case "changes":
		return func(g *shapes) string { return g.list(0, 3, (*shapes).change) }
	case "messaging", "standby":
		return func(g *shapes) string { return g.list(0, 3, (*shapes).message) }
	case "changed_fields":
		return func(g *shapes) string { return g.list(0, 3, (*shapes).scalar) }
	case "value":
		return (*shapes).message
	case "from", "media", "sender", "recipient", "message", "reaction", "read", "delivery", "postback", "referral", "optin", "other":
		return func(g *shapes) string {
			return g.object(4, "id", "mid", "action", "payload", "ref", "is_echo", "is_deleted", "num_edit", "text", "user_ref", "self_ig_scoped_id")
		}
	case "root_post", "replied_to":
		return func(g *shapes) string { return g.object(3, "id", "owner_id", "username") }
	default:
		return (*shapes).scalar
	}
}

func (g *shapes) delivery() string {
	if g.IntN(8) == 0 {
		return g.object(6, "target_id", "target_id", "values", "values", "time", "object", "entry", "extra")
	}
	return g.object(4, "object", "entry", "entry", "extra", "values", "target_id")
}

func (g *shapes) entry() string {
	return g.object(6, "id", "time", "changes", "messaging", "standby", "changed_fields", "field", "value", "uid")
}

func (g *shapes) change() string { return g.object(4, "field", "value", "value", "extra") }

// whatsApp returns a message, a status or a contact.
func (g *shapes) whatsApp() string {
	return g.object(6, "id", "id", "from", "from_user_id", "timestamp", "status", "recipient_id", "recipient_user_id", "recipient_type", "wa_id", "user_id", "extra")
}

func (g *shapes) message() string {
	if g.IntN(3) == 0 {
		return g.object(5, "messages", "statuses", "contacts", "metadata", "errors", "username", "root_post", "replied_to", "id", "timestamp")
	}
	return g.object(6, "id", "comment_id", "media_id", "parent_id", "post_id", "from", "media", "sender", "recipient", "timestamp",
		"message", "reaction", "read", "delivery", "postback", "referral", "optin", "other", "extra")
}

func (g *shapes) scalar() string {
	return g.pick(`"comments"`, `"mentions"`, `"messages"`, `"standby"`, `"17841400000000001"`, `"0"`, `""`, `"a\/\u00e9\ud83d\ude4f"`, `"\ud800"`, "\"\xff\"",
		"1781093014", "1781093014375", `"1781093014"`, "17841400000000001", "-0.5e+3", "true", "false", "null")
}

// any returns any value.
func (g *shapes) any(levels int) string {
	if levels == 0 {
		return g.scalar()
	}
	deeper := func(g *shapes) string { return g.any(levels - 1) }
	switch g.IntN(3) {
	case 0:
		return g.list(0, 3, deeper)
	case 1:
		return "{" + g.space() + `"entry":` + deeper(g) + `,"changes":` + g.space() + deeper(g) + "}"
	default:
		return g.scalar()
	}
}
