package event_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/event"
)

// found is an item as encoding/json finds it in a delivery.
type found struct {
	list string // "" for a whole entry, "delivery" for a whole delivery, "messages" or "statuses" in a change of WhatsApp
	item string
}

// pair is a member of an object. Names may occur twice.
type pair struct {
	name string
	raw  json.RawMessage
}

// pairs returns the members of an object in order.
func pairs(raw json.RawMessage) (members []pair, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			panic(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			panic(err)
		}
		members = append(members, pair{name.(string), value})
	}
	return members, true
}

func elements(raw json.RawMessage) (values []json.RawMessage, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	if err := json.Unmarshal(raw, &values); err != nil {
		panic(err)
	}
	return values, true
}

// oracle says which items valid JSON holds, by other means than Split.
func oracle(body []byte) []found {
	body = trim(body)
	whole := []found{{"delivery", string(body)}}
	deliveries, isArray := elements(body)
	if !isArray {
		if items := oracleDelivery(body); items != nil {
			return items
		}
		return whole
	}
	var all []found
	some := false
	for _, d := range deliveries {
		items := oracleDelivery(d)
		some = some || items != nil
		if items == nil {
			items = []found{{"delivery", "[" + string(d) + "]"}}
		}
		all = append(all, items...)
	}
	if !some {
		return whole
	}
	return all
}

// trim takes away what may stand around a JSON text.
func trim(body []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(body, []byte("\ufeff")), " \t\r\n")
}

// isObject tells an object from other values.
func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// scalarOf returns what a string says or the digits of a number, and "" for
// anything else.
func scalarOf(raw json.RawMessage) (text string) {
	if c := raw[0]; c == '-' || '0' <= c && c <= '9' {
		return string(raw)
	}
	_ = json.Unmarshal(raw, &text)
	return text
}

// oracleWhatsApp returns the messages and statuses in a change, or the change.
func oracleWhatsApp(change json.RawMessage) (items []found) {
	members, _ := pairs(change)
	values := 0
	for _, m := range members {
		if m.name != "value" {
			continue
		}
		values++
		inner, _ := pairs(m.raw)
		for _, m := range inner {
			if m.name == "messages" || m.name == "statuses" {
				all, _ := elements(m.raw)
				for _, v := range all {
					items = append(items, found{m.name, string(v)})
				}
			}
		}
	}
	if values != 1 || items == nil {
		return []found{{"changes", string(change)}}
	}
	return items
}

// oracleThreads returns the values of an envelope of Threads.
func oracleThreads(members []pair) (items []found) {
	target := ""
	for _, m := range members {
		switch m.name {
		case "target_id":
			target = scalarOf(m.raw)
		case "values":
			if isObject(m.raw) {
				items = append(items, found{"values", string(m.raw)})
			}
			all, _ := elements(m.raw)
			for _, v := range all {
				items = append(items, found{"values", string(v)})
			}
		}
	}
	if target == "" {
		return nil
	}
	return items
}

func oracleDelivery(raw json.RawMessage) (items []found) {
	members, _ := pairs(raw)
	object := ""
	for _, m := range members {
		if m.name == "object" {
			object = scalarOf(m.raw)
		}
	}
	defer func() {
		if items == nil {
			items = oracleThreads(members)
		}
	}()
	for _, m := range members {
		if m.name != "entry" {
			continue
		}
		entries, _ := elements(m.raw)
		if isObject(m.raw) {
			entries = []json.RawMessage{m.raw}
		}
		for _, entry := range entries {
			before := len(items)
			members, _ := pairs(entry)
			for _, m := range members {
				switch m.name {
				case "changes", "messaging", "standby", "changed_fields":
					values, _ := elements(m.raw)
					for _, v := range values {
						if m.name == "changes" && object == "whatsapp_business_account" {
							items = append(items, oracleWhatsApp(v)...)
						} else {
							items = append(items, found{m.name, string(v)})
						}
					}
				}
			}
			if len(items) == before {
				items = append(items, found{"", string(entry)})
			}
		}
	}
	return items
}

// depth returns how deep the brackets of valid JSON nest.
func depth(body []byte) (most int) {
	open, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			open++
			most = max(most, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return most
}

// checkSplit checks what must be true for any body: nothing lost, nothing
// twice, nothing changed, and every event stands on its own.
func checkSplit(t *testing.T, body []byte) {
	t.Helper()
	original := bytes.Clone(body)
	events := event.Split(body)
	if !bytes.Equal(body, original) {
		t.Fatal("Split changed the body")
	}
	if len(events) == 0 {
		t.Fatal("no event")
	}
	valid := json.Valid(bytes.TrimPrefix(body, []byte("\ufeff")))
	levels := depth(body)
	if !valid || levels > 1000 && events[0].Field == event.Unparsed && bytes.Equal(events[0].Envelope(), body) {
		if len(events) != 1 || events[0].Field != event.Unparsed || !bytes.Equal(events[0].Envelope(), body) {
			t.Fatalf("%.80q is not JSON, but became %d events, the first %.80q", body, len(events), events[0].Envelope())
		}
		checkEvent(t, &events[0], body)
		return
	}
	if levels > 1010 {
		t.Fatalf("a body of %d levels was taken apart", levels)
	}

	var got []found
	for i := range events {
		ev := &events[i]
		envelope := ev.Envelope()
		if ev.Object == "" && ev.Account == "" && ev.Field == event.Unparsed && ev.Kind == "" && !isDelivery(envelope) {
			got = append(got, found{"delivery", string(trim(envelope))})
		} else {
			items := oracle(envelope)
			if len(items) != 1 {
				t.Fatalf("envelope of event %d holds %d items: %q", i, len(items), envelope)
			}
			got = append(got, items[0])
		}
		checkEvent(t, ev, envelope)
	}

	if want := oracle(body); !slices.Equal(got, want) {
		t.Fatalf("items of %q:\n got %q\nwant %q", body, got, want)
	}
}

func isDelivery(envelope []byte) bool {
	if !json.Valid(envelope) {
		return false
	}
	items := oracle(envelope)
	return items[0].list != "delivery"
}

// checkEvent checks what must be true for any event.
func checkEvent(t *testing.T, ev *event.Event, envelope []byte) {
	t.Helper()
	id := ev.ID()
	if len(id) > 2000 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\,;<>`, r) }) {
		t.Fatalf("id %q is not fit for a header", id)
	}
	if again, notUnique := ev.Identify(); again != id || notUnique != ev.NotUnique() {
		t.Fatalf("id %q became %q, and not unique is %t: %q", id, again, notUnique, envelope)
	}
	if ev.Field == "" {
		t.Fatalf("no field: %q", envelope)
	}

	again := event.Split(envelope)
	if len(again) != 1 {
		t.Fatalf("envelope %q became %d events", envelope, len(again))
	}
	same := &again[0]
	if same.ID() != id || same.Conversation() != ev.Conversation() || !bytes.Equal(same.Envelope(), envelope) ||
		same.Object != ev.Object || same.Account != ev.Account || same.Field != ev.Field || same.Kind != ev.Kind ||
		!same.Sent.Equal(ev.Sent) || !same.Time.Equal(ev.Time) || same.Sender != ev.Sender || same.Recipient != ev.Recipient ||
		same.Test != ev.Test || same.Echo != ev.Echo || same.Unsent != ev.Unsent || same.NotUnique() != ev.NotUnique() {
		t.Fatalf("another event after its envelope %q:\n got %+v\nwant %+v", envelope, same, ev)
	}
	checkCloudEvent(t, ev, envelope)
}

// checkCloudEvent checks the JSON format of CloudEvents 1.0.
func checkCloudEvent(t *testing.T, ev *event.Event, envelope []byte) {
	t.Helper()
	line := ev.AppendCloudEvent([]byte("before "))
	line, ok := bytes.CutPrefix(line, []byte("before "))
	if !ok || bytes.ContainsAny(line, "\r\n") || !utf8.Valid(line) {
		t.Fatalf("not one line of UTF-8: %q", line)
	}
	var ce struct {
		SpecVersion     string
		ID              string
		Source          string
		Type            string
		DataContentType string
		Data            json.RawMessage
		DataBase64      []byte `json:"data_base64"`
	}
	if err := json.Unmarshal(line, &ce); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	if ce.SpecVersion != "1.0" || ce.ID != ev.ID() || !strings.HasPrefix(ce.Source, "/instagram") || !strings.HasPrefix(ce.Type, "com.instagram.") {
		t.Fatalf("wrong attributes: %q", line)
	}
	if ce.DataContentType != "application/json" {
		if !bytes.Equal(ce.DataBase64, envelope) {
			t.Fatalf("data_base64 is %q, want %q", ce.DataBase64, envelope)
		}
		return
	}
	var got, want bytes.Buffer
	if json.Compact(&got, ce.Data) != nil || json.Compact(&want, envelope) != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("data is %q, want %q", ce.Data, envelope)
	}
}
