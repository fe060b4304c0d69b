package event

import (
	"strconv"
	"strings"
)

// Placeholder returns the value of the placeholder {instagram.NAME} for one
// event: object, account, field, id, conversation or test. It reports false
// for any other name.
func (e *Event) Placeholder(name string) (string, bool) {
	switch name {
	case "object":
		return e.Object, true
	case "account":
		return e.Account, true
	case "field":
		return e.Field, true
	case "id":
		return e.ID(), true
	case "conversation":
		return e.Conversation(), true
	case "test":
		return strconv.FormatBool(e.Test), true
	}
	return "", false
}

// Placeholder returns the value of the placeholder {instagram.NAME} for a delivery:
// secret, size, count (the number of its events), or a name that an event has, for
// its first event. It reports false for any other name. It splits the body only if
// the name needs that.
func (d *Delivery) Placeholder(name string) (any, bool) {
	switch name {
	case "secret":
		return d.Secret, true
	case "size":
		return d.Size(), true
	case "count":
		return len(d.Events()), true
	}
	if events := d.Events(); len(events) > 0 {
		return events[0].Placeholder(name)
	}
	return new(Event).Placeholder(name)
}

// Lookup is Placeholder for a key as it stands between the braces,
// "instagram.NAME". It reports false for a key with another prefix.
func (d *Delivery) Lookup(key string) (any, bool) {
	name, found := strings.CutPrefix(key, "instagram.")
	if !found {
		return nil, false
	}
	return d.Placeholder(name)
}
