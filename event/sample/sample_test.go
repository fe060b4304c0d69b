package sample_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

func TestDelivery(t *testing.T) {
	for _, f := range event.Fields() {
		for _, style := range []sample.Style{sample.Spaced, sample.Compact} {
			body := sample.New(7).Delivery(style, 200, f.Name)
			if !bytes.Equal(body, sample.New(7).Delivery(style, 200, f.Name)) {
				t.Errorf("%s: not the same again", f.Name)
			}
			if !json.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: not JSON in ASCII: %s", f.Name, body)
			}
			want := f.Name
			if want == "message_echoes" { // it comes as this
				want = "messages"
			}
			events := event.Split(body)
			ids := make(map[string]bool)
			for i := range events {
				ev := &events[i]
				ids[ev.ID()] = true
				if ev.Field != want || ev.Kind != f.Kind || ev.Test || ev.Object != "instagram" || len(ev.Account) != 17 || ev.Sent.IsZero() {
					t.Fatalf("%s: %+v", f.Name, ev)
				}
			}
			if len(ids) != 200 {
				t.Errorf("%s: %d ids", f.Name, len(ids))
			}
		}
	}
}

func TestStyles(t *testing.T) {
	spaced := sample.New(1).Delivery(sample.Spaced, 50, "messages")
	compact := sample.New(1).Delivery(sample.StyleOf("messages"), 50, "messages")
	for _, want := range []string{`{"entry": [{"id": "`, `"messaging": [{"sender": {"id": "`, `https://`, `\ud83d\ude4f`} {
		if !bytes.Contains(spaced, []byte(want)) {
			t.Errorf("no %s in %s", want, spaced)
		}
	}
	for _, want := range []string{`{"object":"instagram","entry":[{"time":`, `"messaging":[{"sender":{"id":"`, `https:\/\/`, `\ud83d\ude4f`, `\u00fc`} {
		if !bytes.Contains(compact, []byte(want)) {
			t.Errorf("no %s in %s", want, compact)
		}
	}
	if sample.StyleOf("comments") != sample.Spaced || sample.StyleOf("no_such_field") != sample.Spaced {
		t.Error("changes are spaced")
	}
}

func TestTestButton(t *testing.T) {
	for _, f := range event.Fields() {
		events := event.Split(sample.New(3).TestButton(f.Name))
		if ev := &events[0]; len(events) != 1 || !ev.Test || ev.Field != f.Name || ev.Kind != event.Change || ev.Account != "0" {
			t.Errorf("%s: %+v", f.Name, ev)
		}
	}
}

// TestMixed mixes the kinds in one delivery.
func TestMixed(t *testing.T) {
	events := event.Split(sample.New(5).Delivery(sample.Spaced, 90, "comments", "messages", "standby"))
	if len(events) != 90 {
		t.Fatalf("%d events", len(events))
	}
	for i, want := range []string{"comments", "messages", "standby", "comments"} {
		if events[i].Field != want {
			t.Errorf("event %d has field %s, not %s", i, events[i].Field, want)
		}
	}
}
