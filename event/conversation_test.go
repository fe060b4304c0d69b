package event_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// TestConversationOfChanges is the table of the conversations of changes.
func TestConversationOfChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, field, value, want string }{
		{"comment", "comments", `{"id":"18","from":{"id":"62"},"media":{"id":"20"}}`, "17/18"},
		{"comment of Facebook Login", "comments", `{"comment_id":"19","from":{"id":"62"},"media":{"id":"20"}}`, "17/19"},
		{"reply", "comments", `{"id":"18","parent_id":"5","from":{"id":"62"},"media":{"id":"20"}}`, "17/5"},
		{"own reply", "comments", `{"id":"18","parent_id":"5","from":{"id":"17"},"media":{"id":"20"}}`, "17/5"},
		{"comment without an id", "comments", `{"from":{"id":"62"},"media":{"id":"20"}}`, "17/62"},
		{"live comment", "live_comments", `{"id":"18","from":{"id":"62"},"media":{"id":"20"}}`, "17/18"},
		{"mention in a comment", "mentions", `{"media_id":"20","comment_id":"19"}`, "17/19"},
		{"mention in a caption", "mentions", `{"media_id":"20"}`, "17/20"},
		{"figures of a story", "story_insights", `{"media_id":"20","reach":7}`, "17/20"},
		{"comment on a post", "feed", `{"from":{"id":"62"},"post_id":"1_2","parent_id":"1_2","comment_id":"2_3","item":"comment"}`, "17/2_3"},
		{"reply below a post", "feed", `{"from":{"id":"62"},"post_id":"1_2","parent_id":"2_3","comment_id":"2_4","item":"comment"}`, "17/2_3"},
		{"reaction to a post", "feed", `{"from":{"id":"62"},"post_id":"1_2","parent_id":"1_2","item":"reaction"}`, "17/62"},
		{"own post", "feed", `{"from":{"id":"17"},"post_id":"1_2","item":"status"}`, "17/1_2"},
		{"somebody", "follow", `{"from":{"id":"62"}}`, "17/62"},
		{"message under changes", "messages", `{"sender":{"id":"62"},"recipient":{"id":"17"},"message":{"mid":"m"}}`, "17/62"},
		{"message that names itself alone", "messages", `{"message":{"mid":"m"}}`, "17/m"},
		{"nobody", "leadgen", `{"leadgen_id":"444","page_id":"17"}`, ""},
		{"an id of something else", "of_tomorrow", `{"id":"18"}`, ""},
		{"no object", "photos", `7`, ""},
	} {
		for _, body := range []string{
			`{"object":"instagram","entry":[{"id":"17","changes":[{"field":"` + test.field + `","value":` + test.value + `}]}]}`,
			`{"object":"instagram","entry":[{"id":"17","field":"` + test.field + `","value":` + test.value + `}]}`,
		} {
			e := event.Split([]byte(body))[0]
			if got := e.Conversation(); got != test.want {
				t.Errorf("%s: got %q, want %q", test.name, got, test.want)
			}
		}
	}
}

// TestNobodyWaitsForStrangers takes events of strangers that have as much in common
// as they can, and events that name nobody: none may wait for another.
func TestNobodyWaitsForStrangers(t *testing.T) {
	t.Parallel()
	change := func(field, value string) func(int) string {
		return func(i int) string {
			return `"changes":[{"field":"` + field + `","value":` + strings.ReplaceAll(value, "@", fmt.Sprint(i)) + `}]`
		}
	}
	message := func(item string) func(int) string {
		return func(i int) string { return `"messaging":[` + strings.ReplaceAll(item, "@", fmt.Sprint(i)) + `]` }
	}
	for name, entry := range map[string]func(int) string{
		"seen without a sender":   message(`{"timestamp":1781093005194,"read":{"mid":"m@"}}`),
		"edit without a sender":   message(`{"timestamp":1781093005194,"message_edit":{"mid":"m@","num_edit":1}}`),
		"comments on a media":     change("comments", `{"id":"18@","from":{"id":"62@"},"media":{"id":"20"}}`),
		"comments on a broadcast": change("live_comments", `{"id":"18@","from":{"id":"62@"},"media":{"id":"20"}}`),
		"mentions below a media":  change("mentions", `{"media_id":"20","comment_id":"19@"}`),
		"comments on a post":      change("feed", `{"from":{"id":"62@"},"post_id":"1_2","parent_id":"1_2","comment_id":"2_@","item":"comment"}`),
		"likes of a post":         change("feed", `{"from":{"id":"62@"},"post_id":"1_2","parent_id":"1_2","item":"like"}`),
		"leads":                   change("leadgen", `{"leadgen_id":"4@"}`),
		"names of fields":         func(int) string { return `"changed_fields":["photos"]` },
		"unparsed items":          message(`{"x":@}`),
	} {
		seen := make(map[string]bool)
		for i := range 10 {
			e := event.Split([]byte(`{"object":"instagram","entry":[{"id":"17",` + entry(i) + `}]}`))[0]
			if key := e.Conversation(); key != "" && seen[key] {
				t.Errorf("%s: %q twice", name, key)
			} else {
				seen[key] = true
			}
		}
	}
	for _, object := range []string{
		`{"object":"whatsapp_business_account","entry":[{"id":"17","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"1"},"messages":[{"id":"a","from":"1"},{"id":"b","from_user_id":"US.1"},{"id":"c"}],"statuses":[{"id":"d","status":"sent","recipient_id":"2"}]}}]}]}`,
		`{"target_id":"17","values":[{"field":"replies","value":{"id":"1","replied_to":{"id":"9"},"root_post":{"id":"9"}}},{"field":"replies","value":{"id":"2","replied_to":{"id":"9"},"root_post":{"id":"9"}}}]}`,
	} {
		seen := make(map[string]bool)
		for _, e := range event.Split([]byte(object)) {
			if key := e.Conversation(); key == "" || seen[key] {
				t.Errorf("%q of %s", key, e.Envelope())
			} else {
				seen[key] = true
			}
		}
	}
}

// TestConversationStaysTogether takes events of one conversation that look as
// different as they can.
func TestConversationStaysTogether(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a person": `{"object":"instagram","entry":[{"id":"17","messaging":[
			{"sender":{"id":"62"},"recipient":{"id":"17"},"message":{"mid":"a"}},
			{"sender":{"id":"17"},"recipient":{"id":"62"},"message":{"mid":"b","is_echo":true}},
			{"sender":{"id":"62"},"recipient":{"id":"17"},"read":{"mid":"b"}},
			{"sender":{"id":"62"},"recipient":{"id":"17"},"postback":{}}],
			"standby":[{"sender":{"id":"62"},"recipient":{"id":"17"},"message":{"mid":"c"}}]}]}`,
		"a thread": `{"object":"instagram","entry":[{"id":"17","changes":[
			{"field":"comments","value":{"id":"18","from":{"id":"62"}}},
			{"field":"comments","value":{"id":"19","parent_id":"18","from":{"id":"63"}}},
			{"field":"comments","value":{"id":"20","parent_id":"18","from":{"id":"17"}}},
			{"field":"mentions","value":{"media_id":"9","comment_id":"18"}}]}]}`,
		"a message": `{"object":"instagram","entry":[{"id":"17","messaging":[
			{"timestamp":1,"message_edit":{"mid":"m","num_edit":1}},{"timestamp":2,"message_edit":{"mid":"m","num_edit":2}},{"timestamp":3,"read":{"mid":"m"}}]}]}`,
		"a customer": `{"object":"whatsapp_business_account","entry":[{"id":"17","changes":[
			{"field":"messages","value":{"messages":[{"id":"a","from":"2"},{"id":"b","from":"2","from_user_id":"US.2"}]}},
			{"field":"messages","value":{"statuses":[{"id":"c","status":"sent","timestamp":"1","recipient_id":"2"},{"id":"c","status":"read","timestamp":"2","recipient_id":"2"}]}}]}]}`,
		"a post of Threads": `{"target_id":"17","values":[
			{"field":"replies","value":{"id":"1","replied_to":{"id":"9"},"root_post":{"id":"9"}}},
			{"field":"replies","value":{"id":"2","replied_to":{"id":"1"},"root_post":{"id":"9"}}},
			{"field":"delete","value":{"id":"1"}}]}`,
	} {
		events := event.Split([]byte(body))
		for i := range events {
			if got, want := events[i].Conversation(), events[0].Conversation(); got != want || got == "" {
				t.Errorf("%s: got %q, want %q, of %s", name, got, want, events[i].Envelope())
			}
		}
		if len(events) < 3 {
			t.Errorf("%s: %d events", name, len(events))
		}
	}
}
