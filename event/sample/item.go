package sample

import (
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/event"
)

// item returns an item of the field, and moves the time on.
func (g *Generator) item(field, account string) object {
	g.Time = g.Time.Add(time.Duration(1+g.random.IntN(2000)) * time.Millisecond)
	switch kindOf(field) {
	case event.Message:
		return g.messaging(field, account)
	case event.Standby:
		return g.messaging(pick(g, []string{"messages", "message_reactions", "messaging_postbacks"}), account)
	default:
		return object{{"value", g.value(field)}, {"field", field}}
	}
}

// value returns the value of a change.
func (g *Generator) value(field string) object {
	from := object{{"id", g.id("24")}, {"username", pick(g, usernames)}}
	switch field {
	case "comments":
		return g.comment(from)
	case "live_comments":
		media := object{{"id", g.id("179")}, {"media_product_type", "FEED"}}
		return object{{"from", from}, {"media", media}, {"id", g.id("180")}, {"text", pick(g, texts)}}
	case "mentions":
		if g.random.IntN(2) == 0 { // in a caption
			return object{{"media_id", g.id("179")}}
		}
		return object{{"media_id", g.id("179")}, {"comment_id", g.id("180")}}
	case "story_insights":
		return object{
			{"media_id", g.id("179")},
			{"exits", g.figure()}, {"replies", g.figure()}, {"reach", g.figure()},
			{"taps_forward", g.figure()}, {"taps_back", g.figure()}, {"impressions", g.figure()},
		}
	default: // not documented
		return object{{"id", g.id("182")}, {"from", from}}
	}
}

func (g *Generator) comment(from object) object {
	product := pick(g, []string{"FEED", "REELS", "AD"})
	media := object{{"id", g.id("179")}, {"media_product_type", product}}
	id := member{"id", g.id("180")}
	if product == "AD" { // as with Facebook Login
		id.name = "comment_id"
		media = append(media, object{
			{"ad_id", g.id("120")}, {"ad_title", "Autumn offer"}, {"original_media_id", g.id("179")},
		}...)
	}
	value := object{{"from", from}, {"media", media}, id}
	if g.random.IntN(3) == 0 {
		value = append(value, member{"parent_id", g.id("180")})
	}
	return append(value, member{"text", pick(g, texts)})
}

// figure returns a number of views and the like; Meta hides the small ones.
func (g *Generator) figure() int64 {
	if n := int64(g.random.IntN(4000)); n >= 5 {
		return n
	}
	return -1
}

// messaging returns an item of "messaging" or "standby".
func (g *Generator) messaging(field, account string) object {
	key, content := g.content(field)
	sender, recipient := g.id("62"), account
	if slices.ContainsFunc(content, func(m member) bool { return m.name == "is_echo" }) {
		sender, recipient = recipient, sender
	}
	return object{
		{"sender", object{{"id", sender}}},
		{"recipient", object{{"id", recipient}}},
		{"timestamp", g.Time.UnixMilli()},
		{key, content},
	}
}

// content returns the member of a messaging item that says what happened.
func (g *Generator) content(field string) (key string, content object) {
	switch field {
	case "messages", "message_echoes":
		return "message", g.message(field == "message_echoes")
	case "message_reactions":
		if g.random.IntN(3) == 0 {
			return "reaction", object{{"mid", g.mid()}, {"action", "unreact"}}
		}
		return "reaction", object{{"mid", g.mid()}, {"action", "react"}, {"reaction", "love"}, {"emoji", "\u2764\ufe0f"}}
	case "messaging_seen":
		return "read", object{{"mid", g.mid()}}
	case "message_edit":
		return "message_edit", object{
			{"mid", g.mid()}, {"text", pick(g, texts)}, {"num_edit", int64(1 + g.random.IntN(5))},
		}
	case "messaging_postbacks":
		return "postback", object{{"mid", g.mid()}, {"title", pick(g, texts)}, {"payload", "MENU/" + g.token(6)}}
	case "messaging_referral":
		return "referral", object{{"ref", g.token(8)}, {"source", "IGME-SOURCE-LINK"}, {"type", "OPEN_THREAD"}}
	case "messaging_optins":
		return "optin", object{
			{"type", "notification_messages"}, {"payload", g.token(8)}, {"notification_messages_token", g.token(19)},
		}
	case "messaging_handover":
		return g.handover()
	case "messaging_policy_enforcement":
		return "policy_enforcement", object{{"action", "warning"}, {"reason", "Too many messages outside of the window."}}
	default: // response_feedback
		return "response_feedback", object{{"feedback", "Good Response"}, {"mid", g.mid()}}
	}
}

func (g *Generator) handover() (key string, content object) {
	key = pick(g, []string{"pass_thread_control", "take_thread_control", "request_thread_control"})
	if key == "request_thread_control" {
		return key, object{{"requested_owner_app_id", g.id("5")}, {"metadata", "please"}}
	}
	reason := "to a person"
	if key == "take_thread_control" {
		reason = "back"
	}
	return key, object{{"previous_owner_app_id", g.id("5")}, {"new_owner_app_id", g.id("5")}, {"metadata", reason}}
}

func (g *Generator) message(echo bool) object {
	m := object{{"mid", g.mid()}}
	switch g.random.IntN(8) {
	case 0:
		m = append(m, member{"attachments", list{g.attachment("image")}})
	case 1:
		m = append(m, member{"attachments", list{g.attachment("story_mention")}})
	case 2:
		m = append(m, member{"text", pick(g, texts)}, member{"quick_reply", object{{"payload", "ANSWER/" + g.token(6)}}})
	case 3:
		story := object{{"url", g.url()}, {"id", g.id("179")}}
		m = append(m, member{"text", pick(g, texts)}, member{"reply_to", object{{"story", story}}})
	case 4:
		return append(m, member{"is_deleted", true})
	case 5:
		m = append(m, member{"text", pick(g, texts)})
		echo = true
	default:
		m = append(m, member{"text", pick(g, texts)})
	}
	if echo {
		m = append(m, member{"is_echo", true})
	}
	return m
}

func (g *Generator) attachment(kind string) object {
	return object{{"type", kind}, {"payload", object{{"url", g.url()}}}}
}

// url returns an address of the form that attachments have.
func (g *Generator) url() string {
	return "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=" + g.id("180") + "&signature=" + g.token(40)
}

var usernames = []string{"lena.bakes", "north_pier", "tom4tom", "atelier.ruth", "k_o_i_"}

var texts = []string{
	"Do you ship to Norway?",
	"Lovely colours \u2728",
	"Ist das noch verf\u00fcgbar?",
	"\u0411\u043e\u043b\u044c\u0448\u043e\u0435 \u0441\u043f\u0430\u0441\u0438\u0431\u043e!",
	"\u3042\u308a\u304c\u3068\u3046 \U0001f64f",
	"She said \"yes\"\nand/or maybe",
	"See you at 6",
}
