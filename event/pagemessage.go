package event

import "cmp"

// pageNames are the names by which a Page subscribes to what the keys of its
// messaging items stand for. See Meta's "Messenger Platform › Webhooks".
var pageNames = func() map[string]string {
	names := map[string]string{
		"delivery":        "message_deliveries",
		"account_linking": "messaging_account_linking",
		"game_play":       "messaging_game_plays",
	}
	for _, f := range fields {
		for _, key := range f.Keys {
			if f.Page != "" {
				names[key] = f.Page
			}
		}
	}
	return names
}()

// namePageFields gives the messages of a Page the names that it subscribes with. An
// echo has a field of its own there.
func namePageFields(events []Event) {
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
