package event_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

func TestDeliveryEvents(t *testing.T) {
	d := &event.Delivery{Body: []byte(`{"object":"instagram","entry":[{"id":"1","messaging":[{"message":{"mid":"m"}},{"read":{"mid":"m"}}]}]}`)}
	if got := event.FromContext(event.NewContext(context.Background(), d)); got != d {
		t.Fatal("not the delivery of the context")
	}
	var all [8][]event.Event
	var done sync.WaitGroup
	for i := range all {
		done.Go(func() { all[i] = d.Events() })
	}
	done.Wait()
	for _, events := range all {
		if len(events) != 2 || &events[0] != &all[0][0] {
			t.Fatal("not the same two events every time")
		}
	}
	if d.Accepted() {
		t.Error("accepted")
	}
}

// TestAllocations holds Split to a few allocations for each entry.
func TestAllocations(t *testing.T) {
	body := sample.New(1).Delivery(sample.Compact, 1000, "messages")
	if n := testing.AllocsPerRun(5, func() { event.Split(body) }); n > 1000 {
		t.Errorf("%.0f allocations for 1000 events", n)
	}
}

// TestLarge holds Split to memory in proportion to the body.
func TestLarge(t *testing.T) {
	const size = 4 << 20
	fill := func(text string) string { return strings.Repeat(text, size/len(text)) }
	in := func(value string) string {
		return `{"object":"instagram","entry":[{"id":"17","changes":[{"field":"comments","value":` + value + `}]}]}`
	}
	for _, test := range []struct{ name, body, field string }{
		{"text", in(`{"id":"18","text":"` + fill("x") + `"}`), "comments"},
		{"escapes", in(`{"text":"` + fill(`\u00e4`) + `","id":"18"}`), "comments"},
		{"id", in(`{"id":"` + fill("/") + `"}`), "comments"},
		{"number", in(`{"id":` + fill("1") + `}`), "comments"},
		{"members", in(`{` + fill(`"id":"18",`) + `"id":"18"}`), "comments"},
		{"elements", in(`[` + fill(`[],`) + `0]`), "comments"},
		{"levels", in(fill("[") + fill("]")), event.Unparsed},
		{"open levels", fill(`[{"entry":`), event.Unparsed},
		{"members of the delivery", `{` + fill(`"a":[],`) + in("1")[1:], "comments"},
		{"members of the entry", `{"object":"instagram","entry":[{` + fill(`"a":[],`) + `"messaging":[{"optin":{}}]}]}`, "messaging_optins"},
		{"spaces", fill(" ") + in("1") + fill("\n"), "comments"},
		{"items", `{"object":"instagram","entry":[{"id":"17","changes":[` + fill("0,") + `0]}]}`, event.Unparsed},
		{"entries", `{"entry":[` + fill("0,") + `0]}`, event.Unparsed},
		{"deliveries", `[` + fill("{},") + in("1") + `]`, event.Unparsed},
		{"zeros", fill("\x00"), event.Unparsed},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(test.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			events := event.Split(body)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(32*len(body)) {
				t.Errorf("%d bytes for a body of %d", used, len(body))
			}
			ev := &events[0]
			if len(events) != 1 || ev.Field != test.field {
				t.Fatalf("%d events of field %s", len(events), ev.Field)
			}
			if id := ev.ID(); len(id) > 2000 {
				t.Errorf("id of %d bytes", len(id))
			}
			if test.field == event.Unparsed && !bytes.Equal(ev.Envelope(), body) {
				t.Error("not the body")
			}
			ev.AppendCloudEvent(nil)
		})
	}
}

// TestSplitCopies makes sure that a body may be used again.
func TestSplitCopies(t *testing.T) {
	body := []byte(`{"object":"instagram","entry":[{"id":"1","uid":"2","messaging":[{"message":{"mid":"m"}}]}]}`)
	ev := event.Split(body)[0]
	id, envelope := ev.ID(), ev.Envelope()
	clear(body)
	if ev.ID() != id || !bytes.Equal(ev.Envelope(), envelope) {
		t.Error("the event changed with the body")
	}
}

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		name, account, item, want string
	}{
		{"message", "17", `{"sender":{"id":"62"},"recipient":{"id":"17"},"message":{"mid":"m"}}`, "17/62"},
		{"echo", "17", `{"sender":{"id":"17"},"recipient":{"id":"62"},"message":{"mid":"m","is_echo":true}}`, "17/62 echo"},
		{"echo with another id of the account", "17", `{"sender":{"id":"18"},"recipient":{"id":"62"},"message":{"mid":"m","is_echo":true}}`, "17/62 echo"},
		{"echo that does not say so", "17", `{"sender":{"id":"17"},"recipient":{"id":"62"},"reaction":{"mid":"m"}}`, "17/62 echo"},
		{"no echo", "17", `{"sender":{"id":"62"},"recipient":{"id":"17"},"message":{"mid":"m","is_echo":false}}`, "17/62"},
		{"to oneself", "17", `{"sender":{"id":"17"},"recipient":{"id":"17"},"message":{"mid":"m","is_echo":true,"is_self":true}}`, "17/17 echo"},
		{"unsent", "17", `{"sender":{"id":"62"},"recipient":{"id":"17"},"message":{"mid":"m","is_deleted":true}}`, "17/62 unsent"},
		{"without sender", "17", `{"recipient":{"id":"62"},"read":{"mid":"m"}}`, "17/62"},
		{"without anybody", "17", `{"read":{"mid":"m"}}`, "17/m"},
		{"without anybody or message", "17", `{"optin":{}}`, ""},
		{"to the account alone", "17", `{"recipient":{"id":"17"},"optin":{}}`, ""},
		{"of somebody without an id", "17", `{"sender":{"user_ref":"r"},"recipient":{"id":"17"},"message":{"mid":"m"}}`, "17/r"},
		{"opted in without an id", "17", `{"recipient":{"id":"17"},"optin":{"user_ref":"r"}}`, "17/r"},
		{"opted in with an id and a reference", "17", `{"sender":{"id":"62"},"recipient":{"id":"17"},"optin":{"user_ref":"r"}}`, "17/62"},
		{"number", "17", `{"sender":{"id":62},"read":{"mid":"m"}}`, "17/62"},
		{"test account", "0", `{"sender":{"id":"62"},"message":{"mid":"m"}}`, " test"},
		{"test sender", "17", `{"sender":{"id":"12334"},"recipient":{"id":"23245"},"message":{"mid":"random_mid"}}`, " test"},
		{"odd names", "a/b", `{"sender":{"id":"c d"},"message":{"mid":"m"}}`, "a%2Fb/c%20d"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, list := range []string{"messaging", "standby"} {
				ev := event.Split([]byte(`{"object":"instagram","entry":[{"` + list + `":[` + test.item + `],"id":"` + test.account + `"}]}`))[0]
				got := ev.Conversation()
				if ev.Test {
					got += " test"
				}
				if ev.Echo {
					got += " echo"
				}
				if ev.Unsent {
					got += " unsent"
				}
				if got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
		})
	}
}

// TestEnvelope looks at envelopes of a delivery with everything at once.
func TestEnvelope(t *testing.T) {
	body := `{ "v":1.0, "object":"page" , "entry" :[ {"changes":[{"field" : "a"},2],"uid":"\u0039","time":1e3,"id":17,"messaging":[ {"x":{}} ]},{"id":"18","extra":{}} ],"w":[] }`
	want := []string{
		`{"object":"page","v":1.0,"w":[],"entry":[{"id":17,"time":1e3,"uid":"\u0039","changes":[{"field" : "a"}]}]}`,
		`{"object":"page","v":1.0,"w":[],"entry":[{"id":17,"time":1e3,"uid":"\u0039","changes":[2]}]}`,
		`{"object":"page","v":1.0,"w":[],"entry":[{"id":17,"time":1e3,"uid":"\u0039","messaging":[{"x":{}}]}]}`,
		`{"object":"page","v":1.0,"w":[],"entry":[{"id":"18","extra":{}}]}`,
	}
	var got []string
	for _, ev := range event.Split([]byte(body)) {
		got = append(got, string(ev.Envelope()))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCloudEvent(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"message", `{"object":"instagram","entry":[{"id":"17","time":1781093014375,"messaging":[{"timestamp":1781093005194,"message":{"mid":"m&m"}}]}]}`,
			`{"specversion":"1.0","id":"instagram/17/messages/m%26m","source":"/instagram/17","type":"com.instagram.messages","subject":"m\u0026m","time":"2026-06-10T12:03:25.194Z","datacontenttype":"application/json","data":{"object":"instagram","entry":[{"id":"17","time":1781093014375,"messaging":[{"timestamp":1781093005194,"message":{"mid":"m&m"}}]}]}}`},
		{"lines", "{\"object\":\"instagram\",\n\"entry\":[{\"id\":\"17\",\"time\":1781093014,\"changes\":[{\"field\":\"comments\",\r\n \"value\":{\"id\":\"18\",\"text\":\"a  b\",\"media\":{\"id\":\"20\"}}}]}]}",
			`{"specversion":"1.0","id":"instagram/17/comments/18","source":"/instagram/17","type":"com.instagram.comments","subject":"20","time":"2026-06-10T12:03:34Z","datacontenttype":"application/json","data":{"object":"instagram","entry":[{"id":"17","time":1781093014,"changes":[{"field":"comments","value":{"id":"18","text":"a  b","media":{"id":"20"}}}]}]}}`},
		{"odd names", `{"object":"instagram","entry":[{"id":"../x","changes":[{"field":"a\"\u0000","value":{"media_id":"a\tb"}}]}]}`,
			`{"specversion":"1.0","id":"instagram/..%2Fx/a%22%00/` + hash(`{"field":"a\"\u0000","value":{"media_id":"a\tb"}}`) + `","source":"/instagram/..%2Fx","type":"com.instagram.a%22%00","datacontenttype":"application/json","data":{"object":"instagram","entry":[{"id":"../x","changes":[{"field":"a\"\u0000","value":{"media_id":"a\tb"}}]}]}}`},
		{"carriage returns", "{\"object\":\"instagram\",\"entry\":[{\"id\":\"17\",\"changes\":[{\"field\":\"photos\",\r\"value\":1.0}]}]}",
			`{"specversion":"1.0","id":"instagram/17/photos/` + hash(`{"field":"photos","value":1.0}`) + `","source":"/instagram/17","type":"com.instagram.photos","datacontenttype":"application/json","data":{"object":"instagram","entry":[{"id":"17","changes":[{"field":"photos","value":1.0}]}]}}`},
		{"broken id", `{"object":"instagram","entry":[{"id":"17","messaging":[{"message":{"mid":"\ud800"}}]}]}`,
			`{"specversion":"1.0","id":"instagram/17/messages/` + hash(`{"message":{"mid":"\ud800"}}`) + `","source":"/instagram/17","type":"com.instagram.messages","datacontenttype":"application/json","data":{"object":"instagram","entry":[{"id":"17","messaging":[{"message":{"mid":"\ud800"}}]}]}}`},
		{"not JSON", "a\n", `{"specversion":"1.0","id":"//unparsed/` + hash("a\n") + `","source":"/instagram","type":"com.instagram.unparsed","datacontenttype":"application/octet-stream","data_base64":"YQo="}`},
		{"not UTF-8", "[\"\xff\"]", `{"specversion":"1.0","id":"//unparsed/` + hash("[\"\xff\"]") + `","source":"/instagram","type":"com.instagram.unparsed","datacontenttype":"application/octet-stream","data_base64":"WyL/Il0="}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			ev := event.Split([]byte(test.body))[0]
			if got := string(ev.AppendCloudEvent(nil)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestFields(t *testing.T) {
	var common, refused, rest []string
	keys := make(map[string]bool)
	for _, f := range event.Fields() {
		if f.Name == "" || f.Kind == "" || f.About == "" || f.Identity == "" {
			t.Errorf("incomplete: %+v", f)
		}
		for _, key := range f.Keys {
			if keys[key] || f.Kind != event.Message {
				t.Errorf("key %s", key)
			}
			keys[key] = true
		}
		switch {
		case f.Common && f.Refused:
			t.Errorf("%s is both", f.Name)
		case f.Common:
			common = append(common, f.Name)
		case f.Refused:
			refused = append(refused, f.Name)
		default:
			rest = append(rest, f.Name)
		}
		if got, ok := event.FieldByName(f.Name); !ok || got.About != f.About {
			t.Errorf("FieldByName(%q) = %v, %v", f.Name, got, ok)
		}
	}
	if len(common) != 7 || len(common)+len(rest) != 23 || len(refused) != 3 {
		t.Errorf("%d common, %d more, %d refused", len(common), len(rest), len(refused))
	}
	for page, name := range map[string]string{"message_reads": "messaging_seen", "messaging_referrals": "messaging_referral",
		"messaging_handovers": "messaging_handover", "message_edits": "message_edit", "messages": "messages"} {
		if f, ok := event.FieldByPage(page); !ok || f.Name != name {
			t.Errorf("a Page's %s is %q, want %s", page, f.Name, name)
		}
	}
	for _, name := range []string{"", "feed", "comments", "messaging_seen"} {
		if f, ok := event.FieldByPage(name); ok {
			t.Errorf("a Page's %q is taken for %s", name, f.Name)
		}
	}
	if _, ok := event.FieldByName("no_such_field"); ok {
		t.Error("found no_such_field")
	}
	event.Fields()[3].Keys[0] = "changed"
	if f, _ := event.FieldByName("messages"); f.Keys[0] != "message" {
		t.Error("the table can be changed")
	}
}

// TestEnvelopesStayInProportion holds that many items cannot multiply a large
// part of their entry or delivery.
func TestEnvelopesStayInProportion(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 100<<10)
	for name, format := range map[string]string{
		"entry id":        `{"object":"instagram","entry":[{"id":"%s","time":1,"changes":[%s]}]}`,
		"entry time":      `{"object":"instagram","entry":[{"id":"1","time":"%s","changes":[%s]}]}`,
		"entry member":    `{"object":"instagram","entry":[{"id":"1","more":"%s","changes":[%s]}]}`,
		"object":          `{"object":"%s","entry":[{"id":"1","changes":[%s]}]}`,
		"delivery member": `{"more":"%s","entry":[{"id":"1","changes":[%s]}]}`,
	} {
		for items, whole := range map[int]bool{5: true, 5000: false} {
			body := fmt.Sprintf(format, large, strings.TrimSuffix(strings.Repeat("0,", items), ","))
			events := event.Split([]byte(body))
			if taken := len(events) == items; taken != whole {
				t.Errorf("%s, %d items: got %d events", name, items, len(events))
			}
			total := 0
			for i := range events {
				total += len(events[i].Envelope())
			}
			if total > 20*len(body)+2<<20 {
				t.Errorf("%s, %d items: %d bytes became %d", name, items, len(body), total)
			}
		}
	}
}
