package event

import "cmp"

// messagingKey is the meaning of a key of a messaging item.
type messagingKey struct {
	field string
	rank  int // place in the table of fields: the lowest wins
}

// messagingKeys holds the keys in the table of fields.
var messagingKeys = func() map[string]messagingKey {
	keys := make(map[string]messagingKey)
	for _, f := range fields {
		for _, key := range f.Keys {
			keys[key] = messagingKey{f.Name, len(keys)}
		}
	}
	return keys
}()

// pageNames holds the Page's name of the field that a key of a messaging item stands
// for. See Meta's "Messenger Platform › Webhooks".
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

// namePageFields gives the messages of a Page the Page's names of their fields. Echoes
// have a field of their own there.
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
