package event

import "cmp"

// pageNames are the names by which a Page subscribes to what the keys of its
// messaging items stand for, where they differ from Instagram's. See Meta's
// "Messenger Platform › Webhooks".
var pageNames = map[string]string{
	"read":                   "message_reads",
	"delivery":               "message_deliveries",
	"message_edit":           "message_edits",
	"referral":               "messaging_referrals",
	"pass_thread_control":    "messaging_handovers",
	"take_thread_control":    "messaging_handovers",
	"request_thread_control": "messaging_handovers",
	"app_roles":              "messaging_handovers",
	"account_linking":        "messaging_account_linking",
	"game_play":              "messaging_game_plays",
}

// pageFields gives the messages of a Page the names that it subscribes with. An
// echo has a field of its own there.
func pageFields(events []Event) {
	for i := range events {
		e := &events[i]
		if e.Kind != Message && e.Kind != Standby {
			continue
		}
		d := e.details
		name := pageNames[cmp.Or(d.key, d.field)]
		if d.key == "message" && d.echo {
			name = "message_echoes"
		}
		if name == "" {
			continue
		}
		d.field = name
		if e.Kind == Message {
			e.Field = name
		}
	}
}
