package event_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// TestIdentity is the table of identities. IDs must never change.
func TestIdentity(t *testing.T) {
	long := strings.Repeat("m", 256)
	change := func(field, value string) string { return `{"field":"` + field + `","value":` + value + `}` }
	item := func(key, content string) string {
		return `{"sender":{"id":"62"},"recipient":{"id":"17"},"timestamp":1781093005194,"` + key + `":` + content + `}`
	}
	for _, test := range []struct{ name, list, item, want string }{
		{"comment", "changes", change("comments", `{"id":"18","comment_id":"19"}`), "instagram/17/comments/18"},
		{"comment of Facebook Login", "changes", change("comments", `{"comment_id":"19"}`), "instagram/17/comments/19"},
		{"comment with a number", "changes", change("comments", `{"id":18012345678901233}`), "instagram/17/comments/18012345678901233"},
		{"comment without id", "changes", change("comments", `{"text": "a b"}`), "instagram/17/comments/" + hash(`{"field":"comments","value":{"text":"a b"}}`)},
		{"comment with empty id", "changes", change("comments", `{"id":""}`), "instagram/17/comments/" + hash(`{"field":"comments","value":{"id":""}}`)},
		{"live comment", "changes", change("live_comments", `{"id":"18"}`), "instagram/17/live_comments/18"},
		{"mention in a comment", "changes", change("mentions", `{"media_id":"20","comment_id":"19"}`), "instagram/17/mentions/20/19"},
		{"mention in a caption", "changes", change("mentions", `{"media_id":"20"}`), "instagram/17/mentions/" + hash(`{"field":"mentions","value":{"media_id":"20"}}`)},
		{"insights", "changes", change("story_insights", `{"media_id": "20","reach":7}`), "instagram/17/story_insights/20/" + hash(`{"media_id":"20","reach":7}`)[7:]},
		{"insights without media", "changes", change("story_insights", `{"reach":7}`), "instagram/17/story_insights/" + hash(`{"field":"story_insights","value":{"reach":7}}`)},
		{"unknown field", "changes", change("a/b", `1`), "instagram/17/a%2Fb/" + hash(`{"field":"a/b","value":1}`)},
		{"message", "messaging", item("message", `{"mid":"aWdf_x-9","text":"a"}`), "instagram/17/messages/aWdf_x-9"},
		{"message with odd id", "messaging", item("message", `{"mid":"m_/\u00e4:%"}`), "instagram/17/messages/m_%2F%C3%A4%3A%25"},
		{"message with long id", "messaging", item("message", `{"mid":"`+long+`"}`), "instagram/17/messages/" + hash(long)},
		{"message without id", "messaging", item("message", `{ "text" : "a" }`), "instagram/17/messages/" + hash(item("message", `{"text":"a"}`))},
		{"message with broken id", "messaging", item("message", `{"mid":"\ud800"}`), "instagram/17/messages/" + hash(item("message", `{"mid":"\ud800"}`))},
		{"unsent message", "messaging", item("message", `{"mid":"m","is_deleted":true}`), "instagram/17/messages/m/deleted"},
		{"message that is not unsent", "messaging", item("message", `{"mid":"m","is_deleted":false}`), "instagram/17/messages/m"},
		{"message of the Test button", "changes", change("messages", item("message", `{"mid":"random_mid"}`)), "instagram/17/messages/random_mid"},
		{"reaction", "messaging", item("reaction", `{"mid":"m","action":"react","emoji":"x"}`), "instagram/17/message_reactions/m/62/react/1781093005194"},
		{"reaction without action", "messaging", item("reaction", `{"mid":"m"}`), "instagram/17/message_reactions/" + hash(item("reaction", `{"mid":"m"}`))},
		{"seen", "messaging", `{"timestamp":5,"read":{"mid":"m"}}`, "instagram/17/messaging_seen/m/5"},
		{"edit", "messaging", item("message_edit", `{"mid":"m","num_edit":0}`), "instagram/17/message_edit/m/0/1781093005194"},
		{"postback", "messaging", item("postback", `{"mid":"m","payload":"P"}`), "instagram/17/messaging_postbacks/m"},
		{"postback without id", "messaging", item("postback", `{"payload":"P Q"}`), "instagram/17/messaging_postbacks/62/1781093005194/P%20Q"},
		{"empty postback", "messaging", item("postback", `{}`), "instagram/17/messaging_postbacks/" + hash(item("postback", `{}`))},
		{"referral", "messaging", item("referral", `{"ref":"r"}`), "instagram/17/messaging_referral/62/1781093005194/r"},
		{"optin", "messaging", item("optin", `{}`), "instagram/17/messaging_optins/62/1781093005194"},
		{"pass", "messaging", item("pass_thread_control", `{}`), "instagram/17/messaging_handover/62/1781093005194/pass_thread_control"},
		{"roles", "messaging", item("app_roles", `{"1":["primary_receiver"]}`), "instagram/17/messaging_handover/62/1781093005194/app_roles"},
		{"several keys", "messaging", item("x", `{},"referral":{"ref":"r"},"message":{"mid":"m"},"optin":{}`), "instagram/17/messages/m"},
		{"a key twice", "messaging", item("message", `{"mid":"m","is_deleted":true},"message":{"mid":"n"}`), "instagram/17/messages/n"},
		{"a key twice, then empty", "messaging", item("message", `{"mid":"m"},"message":{}`), "instagram/17/messages/" + hash(item("message", `{"mid":"m"},"message":{}`))},
		{"an id twice", "changes", change("comments", `{"id":"18","id":"19"}`), "instagram/17/comments/19"},
		{"unknown key", "messaging", item("account_linking", `{"status":"linked"}`), "instagram/17/account_linking/" + hash(item("account_linking", `{"status":"linked"}`))},
		{"no key", "messaging", `{"sender":{"id":"62"}}`, "instagram/17/unparsed/" + hash(`{"sender":{"id":"62"}}`)},
		{"standby", "standby", item("message", `{"mid":"m"}`), "instagram/17/standby/messages/m"},
		{"standby postback", "standby", item("postback", `{}`), "instagram/17/standby/" + hash(item("postback", `{}`))},
		{"standby of unknown key", "standby", item("x", `{}`), "instagram/17/standby/" + hash(item("x", `{}`))},
		{"name", "changed_fields", `"photos"`, "instagram/17/photos/" + hash(`"photos"`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := `{"object":"instagram","entry":[{"id":"17","time":1,"` + test.list + `":[` + test.item + `]}]}`
			if got := event.Split([]byte(body))[0].ID(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}

	for body, want := range map[string]string{
		`{"entry":[{"id":"17","changes":[{"field":"comments","value":{"id":"18"}}]}]}`:                 "/17/comments/" + hash(`{"field":"comments","value":{"id":"18"}}`),
		`{"object":"instagram","entry":[{"changes":[{"field":"comments","value":{"id":"18"}}]}]}`:      "instagram//comments/" + hash(`{"field":"comments","value":{"id":"18"}}`),
		`{"object":"instagram","entry":[{"id":"17","time":5,"field":"comments","value":{"id":"18"}}]}`: "instagram/17/comments/18",
		`{"object":"instagram","entry":[{"id":"17","time":5,"field":"x","value":[ 1 ]}]}`:              "instagram/17/x/" + hash(`{"field":"x","value":[1]}`),
		`{"object":"instagram","entry":[{"time": 5,"a": 1,"id":"17","b":[ ]}]}`:                        "instagram/17/unparsed/" + hash(`{"a":1,"b":[]}`),
		`{"object":"instagram","entry":[{"time":5,"id":"17","changes":[]}]}`:                           "instagram/17/unparsed/" + hash(`{}`),
		`{"object":"instagram","entry":[ "17" ]}`:                                                      "instagram//unparsed/" + hash(`"17"`),
		`{"object": "instagram"}`: "//unparsed/" + hash(`{"object":"instagram"}`),
		`{ not JSON`:              "//unparsed/" + hash(`{ not JSON`),
		``:                        "//unparsed/" + hash(``),
		`{"object":"` + strings.Repeat("/", 90) + `","entry":[{"id":"1","messaging":[{"optin":{"a":1}}]}]}`: hash(strings.Repeat("/", 90)) + "/1/messaging_optins/" + hash(`{"optin":{"a":1}}`),
	} {
		if got := event.Split([]byte(body))[0].ID(); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
}

// TestIdentityOfSamples sends events of every field again: in other batches,
// in another order, at another time, in the other style. They must keep their
// ids, and no two may share one.
func TestIdentityOfSamples(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var fields []string
		for _, f := range event.Fields() {
			fields = append(fields, f.Name)
		}
		body := sample.New(seed).Delivery(sample.Style(seed%2), 300, fields...)
		events := event.Split(body)
		if len(events) != 300 {
			t.Fatalf("%d events", len(events))
		}
		ids := make(map[string]bool)
		for i := range events {
			id := events[i].ID()
			if ids[id] {
				t.Fatalf("seed %d: id %s twice", seed, id)
			}
			ids[id] = true
		}

		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for len(events) > 0 {
			n := min(1+random.IntN(30), len(events))
			again := event.Split(resend(t, random, events[:n]))
			events = events[n:]
			for i := range again {
				id := again[i].ID()
				if !ids[id] {
					t.Fatalf("seed %d: new id %s of %s", seed, id, again[i].Envelope())
				}
				delete(ids, id)
			}
		}
		if len(ids) > 0 {
			t.Fatalf("seed %d: %d ids were not seen again", seed, len(ids))
		}
	}
}

// resend makes one delivery of the events, with another time and spacing.
func resend(t *testing.T, random *rand.Rand, events []event.Event) []byte {
	t.Helper()
	var entries []string
	for i := range events {
		var d struct {
			Entry []map[string]json.RawMessage
		}
		if err := json.Unmarshal(events[i].Envelope(), &d); err != nil {
			t.Fatal(err)
		}
		d.Entry[0]["time"] = json.RawMessage(fmt.Sprint(1800000000 + random.IntN(1e8)))
		entry, err := json.MarshalIndent(d.Entry[0], "", strings.Repeat(" ", random.IntN(3)))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, string(entry))
	}
	return []byte(`{"entry":[` + strings.Join(entries, ", ") + `],"object":"instagram"}`)
}

func TestTimes(t *testing.T) {
	for _, test := range []struct {
		timestamp string
		want      time.Time
	}{
		{`1781093014`, time.Date(2026, 6, 10, 12, 3, 34, 0, time.UTC)},
		{`1781093014375`, time.Date(2026, 6, 10, 12, 3, 34, 375e6, time.UTC)},
		{`"1781093014"`, time.Date(2026, 6, 10, 12, 3, 34, 0, time.UTC)},
		{`"1781093014375"`, time.Date(2026, 6, 10, 12, 3, 34, 375e6, time.UTC)},
		{`253402300799999`, time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)},
		{`253402300800000`, time.Time{}},
		{`99999999999999999999`, time.Time{}},
		{`0`, time.Time{}}, {`-5`, time.Time{}}, {`1.5`, time.Time{}}, {`""`, time.Time{}}, {`"now"`, time.Time{}}, {`null`, time.Time{}}, {`{}`, time.Time{}},
	} {
		body := `{"object":"instagram","entry":[{"id":"17","time":` + test.timestamp + `,"messaging":[{"timestamp":` + test.timestamp + `,"optin":{}}]}]}`
		ev := event.Split([]byte(body))[0]
		if !ev.Time.Equal(test.want) || !ev.Sent.Equal(test.want) {
			t.Errorf("%s: got %s and %s, want %s", test.timestamp, ev.Time, ev.Sent, test.want)
		}
	}
}

func TestNotUnique(t *testing.T) {
	t.Parallel()
	in := func(entry string) string {
		return `{"object":"instagram","entry":[{"id":"17841400000000001",` + entry + `}]}`
	}
	change := func(field, value string) string {
		return in(`"changes":[{"field":"` + field + `","value":` + value + `}]`)
	}
	whatsApp := func(field, value string) string {
		return strings.Replace(change(field, value), "instagram", "whatsapp_business_account", 1)
	}
	for body, want := range map[string]bool{
		whatsApp("message_template_status_update", `{"event":"APPROVED","message_template_id":7,"reason":null}`):         true,
		whatsApp("account_update", `{"event":"DISABLED_UPDATE"}`):                                                        true,
		whatsApp("calls", `{"calls":[{"id":"wacid.1","event":"connect","timestamp":"1781093014"}]}`):                     false,
		whatsApp("user_preferences", `{"user_preferences":[{"wa_id":"49","value":"stop","timestamp":1781093014}]}`):      false,
		whatsApp("messages", `{"messages":[{"id":"wamid.1","from":"49"}]}`):                                              false,
		whatsApp("messages", `{"statuses":[{"id":"wamid.1","status":"read","timestamp":"5"}]}`):                          false,
		whatsApp("messages", `{"statuses":[{"id":"wamid.1","status":"read","timestamp":"5","recipient_type":"group"}]}`): false,
		whatsApp("messages", `{"statuses":[{"id":"wamid.1","status":"read"}]}`):                                          true,
		change("mentions", `{"media_id":"1"}`):                                                                           false,
		change("mentions", `{}`):                                                                                         true,
		change("story_insights", `{"media_id":"1","exits":5}`):                                                           false,
		change("story_poll_response", `{"media_id":"1","choice":"B"}`):                                                   true,
		change("follow", `{"timestamp":null,"a":[1,"timestamp",[{"b":{}}]]}`):                                            true,
		change("follow", `{"a":[1,[{"b":{"timestamp":1}}]]}`):                                                            false,
		change("follow", `["timestamp"]`):                                                                                true,
		change("leadgen", `{"leadgen_id":"444","created_time":1781093004}`):                                              false,
		change("feed", `{"post_id":"1_2","item":"reaction","verb":"add","created_time":1781093004}`):                     false,
		change("feed", `{"post_id":"1_2","item":"status","created_time":1781093004,"verb":"edited"}`):                    true,
		change("deletion", `{"user_id":"1","issued_at":1793523600}`):                                                     false,
		in(`"field":"story_reactions","value":{"media_id":"1"}`):                                                         true,
		in(`"messaging":[{"timestamp":1,"account_linking":{"status":"linked"}}]`):                                        false,
		`{"target_id":"1","values":{"field":"replies","value":{"id":"2"}}}`:                                              false,
		`{"target_id":"1","values":{"field":"unheard_of","value":{"id":"2"}}}`:                                           true,
		in(`"changes":[{"field":"comments","value":{"id":"1"}}]`):                                                        false,
		in(`"changes":[{"field":"comments","value":{}}]`):                                                                true,
		in(`"field":"comments","value":{"id":"1"}`):                                                                      false,
		in(`"messaging":[{"timestamp":1,"message":{"mid":"m"}}]`):                                                        false,
		in(`"changes":[{"field":"comments"}]`):                                                                           true,
		in(`"changes":[{"field":"comments","value":null}]`):                                                              true,
		in(`"changed_fields":["comments"]`):                                                                              true,
		in(`"messaging":[{}]`):                                                                                           true,
		in(`"time":1`):                                                                                                   true,
		"?":                                                                                                              true,
		`{"object":"instagram","entry":[{"id":"0","changes":[{"field":"x","value":1}]}]}`:                                true,
	} {
		e := event.Split([]byte(body))[0]
		if got := e.NotUnique(); got != want {
			t.Errorf("%s: not unique is %t, want %t", body, got, want)
		}
		if id, notUnique := e.Identify(); id != e.ID() || notUnique != want {
			t.Errorf("%s is identified as %s, not unique: %t", body, id, notUnique)
		}
	}
}
