package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// whatsApp returns a delivery with one change that has this value.
func whatsApp(value string) []byte {
	return []byte(`{"object":"whatsapp_business_account","entry":[{"id":"17","changes":[{"value":{` + value + `},"field":"messages"}]}]}`)
}

func identities(body []byte) (all []string) {
	for _, e := range event.Split(body) {
		all = append(all, e.ID())
	}
	return all
}

// TestWhatsAppItemsAreToldApart gives messages and statuses that share much: none
// may be taken for a duplicate of another.
func TestWhatsAppItemsAreToldApart(t *testing.T) {
	t.Parallel()
	items := []string{
		`"messages":[{"from":"2","id":"a"},{"from":"2","id":"b"},{"from":"2","timestamp":"5"},{"from":"3","timestamp":"5"},{"id":""},7,null,"7"]`,
		`"statuses":[{"id":"a","status":"sent","timestamp":"5"},{"id":"a","status":"read","timestamp":"5"},{"id":"a","status":"read","timestamp":"6"},{"id":"a","status":"read"},{"id":"a"},
			{"id":"a","status":"read","timestamp":"5","recipient_type":"group","recipient_participant_id":"2"},{"id":"a","status":"read","timestamp":"5","recipient_type":"group","recipient_participant_id":"3"}]`,
	}
	seen := make(map[string]bool)
	for _, value := range append(items, `"metadata":{"phone_number_id":"2"},"messages":[{"from":"2","timestamp":"5"}]`, `"errors":[{"code":1}]`, `"errors":[{"code":2}]`) {
		for _, id := range identities(whatsApp(value)) {
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 8+7+3 {
		t.Errorf("%d identities", len(seen))
	}
}

// TestWhatsAppIdentityInAnyCompany sends items again, each time among others.
func TestWhatsAppIdentityInAnyCompany(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 3))
	var texts, lists, people []string
	for i := range 40 {
		person := fmt.Sprint(15550000000 + i/2)
		item := fmt.Sprintf(`{ "from" : "%s", "timestamp":"%d","text":{"body":"%d"} }`, person, 1781093014+i, i)
		list := "messages"
		switch i % 4 {
		case 1:
			item = fmt.Sprintf(`{"id":"wamid.%d","from":"%s"}`, i, person)
		case 2:
			item, list = fmt.Sprintf(`{"id":"wamid.%d","status":"read","timestamp":"1","recipient_id":"%s"}`, i, person), "statuses"
		case 3:
			item, list = fmt.Sprintf(`{"id":"wamid.%d","recipient_id":"%s"}`, i, person), "statuses"
		}
		texts, lists, people = append(texts, item), append(lists, list), append(people, person)
	}
	known := make(map[int]string)
	for range 200 {
		var members, contacts []string
		var which []int
		for _, i := range random.Perm(len(texts))[:1+random.IntN(8)] {
			members = append(members, `"`+lists[i]+`":[`+texts[i]+`]`)
			contacts = append(contacts, `{"wa_id":"`+people[i]+`"}`)
			which = append(which, i)
		}
		if random.IntN(3) == 0 {
			contacts = nil
		}
		value := `"metadata":{"phone_number_id": "1"},"contacts":[` + strings.Join(contacts, ", ") + `],` + strings.Join(members, ",")
		if random.IntN(2) == 0 {
			value += `,"statuses":[]`
		}
		ids := identities(whatsApp(value))
		if len(ids) != len(which) {
			t.Fatalf("%d events of %d items", len(ids), len(which))
		}
		for n, i := range which {
			if known[i] == "" {
				known[i] = ids[n]
			}
			if ids[n] != known[i] {
				t.Errorf("%s became %s", known[i], ids[n])
			}
		}
	}
	all := slices.Sorted(func(yield func(string) bool) {
		for _, id := range known {
			yield(id)
		}
	})
	if len(slices.Compact(all)) != len(texts) {
		t.Errorf("%d identities of %d items", len(all), len(texts))
	}
}

// TestNobodyIsTakenForAnother reads the first contact of each event, as many
// programs do, and looks for each contact somewhere.
func TestNobodyIsTakenForAnother(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, items string
		contacts    []string
		want        []string // numbers of the contacts of each event
	}{
		{"telephone numbers", `"messages":[{"id":"a","from":"1"},{"id":"b","from":"2"},{"id":"c","from":"1"}]`,
			[]string{`{"wa_id":"1","profile":{"name":"Lena"}}`, `{"wa_id":"2"}`}, []string{"0", "1", "0"}},
		{"user ids", `"messages":[{"id":"a","from_user_id":"US.2"},{"id":"b","from":"3","from_user_id":"US.3"}]`,
			[]string{`{"wa_id":"3","user_id":"US.3"}`, `{"wa_id":"2","user_id":"US.2"}`}, []string{"1", "0"}},
		{"statuses", `"messages":[{"id":"a","from":"1"}],"statuses":[{"id":"b","recipient_id":"2"},{"id":"c","recipient_user_id":"US.1"},{"id":"d"}]`,
			[]string{`{"user_id":"US.1"}`, `{"wa_id":"2"}`, `{"wa_id":"1"}`}, []string{"2", "1", "0", ""}},
		{"contacts of others", `"messages":[{"id":"a"},{"id":"b","from":"2"}]`,
			[]string{`{"wa_id":"8"}`, `{"wa_id":"2"}`, `{}`, `5`}, []string{"", "1023"}},
		{"other spellings of a number", `"messages":[{"id":"a","from":"5511987"},{"id":"b","from":"5511988"},{"id":"c","from":"3"}],"statuses":[{"id":"d","recipient_id":"4"}]`,
			[]string{`{"wa_id":"551187"}`, `{"wa_id":"3"}`, `{"wa_id":"551188"}`}, []string{"0", "2", "1", ""}},
		{"two of one", `"messages":[{"id":"a","from":"1","from_user_id":"US.1"},{"id":"b","from":"2"}]`,
			[]string{`{"user_id":"US.1"}`, `{"wa_id":"2"}`, `{"wa_id":"1"}`}, []string{"02", "1"}},
		{"nobody's", `"statuses":[{"id":"a"},{"id":"b"}]`, []string{`{"wa_id":"1"}`}, []string{"0", ""}},
		{"none", `"messages":[{"id":"a","from":"1"},{"id":"b","from":"2"}]`, nil, []string{"", ""}},
	} {
		body := whatsApp(`"messaging_product":"whatsapp","contacts":[` + strings.Join(test.contacts, ", ") + `],` + test.items)
		checkSplit(t, body)
		events := event.Split(body)
		if len(events) != len(test.want) {
			t.Fatalf("%s: %d events", test.name, len(events))
		}
		for i, want := range test.want {
			var envelope struct {
				Entry []struct {
					Changes []struct {
						Value struct {
							MessagingProduct string `json:"messaging_product"`
							Contacts         []json.RawMessage
						}
					}
				}
			}
			if err := json.Unmarshal(events[i].Envelope(), &envelope); err != nil {
				t.Fatal(err)
			}
			value, got := envelope.Entry[0].Changes[0].Value, ""
			for _, c := range value.Contacts {
				got += fmt.Sprint(slices.Index(test.contacts, string(c)))
			}
			if got != want || value.MessagingProduct != "whatsapp" {
				t.Errorf("%s: event %d has the contacts %q, want %q", test.name, i, got, want)
			}
		}
	}
}

// TestLoneWhatsAppMessageStaysAsItCame holds that nothing is written anew where
// nothing needs to be taken apart.
func TestLoneWhatsAppMessageStaysAsItCame(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`"contacts" : [ {"wa_id":"1"}, {"wa_id":"2"} ] , "messages":[ {"id":"a","from":"1"} ],"statuses":[],"x":1`,
		`"messages":[],"statuses":[{"id":"a"}]`,
		`"messages":[]`,
		`"messages":{"id":"a"},"errors":[1]`,
	} {
		body := whatsApp(value)
		if events := event.Split(body); len(events) != 1 || !bytes.Equal(events[0].Envelope(), body) {
			t.Errorf("%s became %s", body, events[0].Envelope())
		}
	}
}

// TestLargeWhatsAppDelivery holds the largest deliveries, and some that are made to
// be a burden, to memory in proportion.
func TestLargeWhatsAppDelivery(t *testing.T) {
	const size = 3 << 20
	metadata := `"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},`
	list := func(format string) (string, int) {
		var b strings.Builder
		n := 0
		for ; b.Len() < size; n++ {
			b.WriteString(strings.ReplaceAll(format, "@", fmt.Sprint(n)) + ",")
		}
		return strings.TrimSuffix(b.String(), ","), n
	}
	messages, n := list(`{"from":"1555000@","id":"wamid.@","timestamp":"1781093014","type":"text","text":{"body":"hello from the other side"}}`)
	statuses, m := list(`{"id":"wamid.@","status":"sent","timestamp":"1781093014","recipient_id":"1555000@"}`)
	known, _ := list(`{"profile":{"name":"Lena"},"wa_id":"1555000@"}`)
	strangers, _ := list(`{"wa_id":"9@"}`)
	one, _ := list(`{"wa_id":"15550001"}`)
	for _, test := range []struct {
		name, value string
		want        int
	}{
		{"messages", metadata + `"messages":[` + messages + `]`, n},
		{"statuses", metadata + `"statuses":[` + statuses + `]`, m},
		{"messages of known people", metadata + `"contacts":[` + known + `],"messages":[` + messages + `]`, n},
		{"contacts of strangers", metadata + `"contacts":[` + strangers + `],"messages":[` + messages + `]`, n},
		{"many contacts and messages of one", metadata + `"contacts":[` + one + `],"messages":[` + strings.ReplaceAll(messages, `"from":"1555000`, `"from":"15550001","x":"`) + `]`, 1},
		{"contacts of one", metadata + `"contacts":[` + one + `],"messages":[{"id":"a","from":"15550001"},{"id":"b","from":"15550001"}]`, 2},
		{"large member", `"x":"` + strings.Repeat("x", size) + `","messages":[` + messages + `]`, 1},
	} {
		body := whatsApp(test.value)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		events := event.Split(body)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(64*len(body)) {
			t.Errorf("%s: %d bytes for a body of %d", test.name, used, len(body))
		}
		if len(events) != test.want {
			t.Errorf("%s: %d events, want %d", test.name, len(events), test.want)
		}
		if test.want == 1 && !bytes.Equal(events[0].Envelope(), body) {
			t.Errorf("%s: not the body", test.name)
		}
	}
}

// TestPageNames holds the names of a Page to what it subscribes with, however the
// delivery names its object.
func TestPageNames(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		`{"message":{"mid":"m"}}`:                                    "messages page/1/messages/m",
		`{"message":{"mid":"m","is_echo":true}}`:                     "message_echoes page/1/message_echoes/m",
		`{"read":{"watermark":5}}`:                                   "message_reads page/1/message_reads/" + hash(`{"read":{"watermark":5}}`),
		`{"delivery":{"watermark":5}}`:                               "message_deliveries page/1/message_deliveries/" + hash(`{"delivery":{"watermark":5}}`),
		`{"timestamp":5,"read":{"mid":"m"}}`:                         "message_reads page/1/message_reads/m/5",
		`{"sender":{"id":"2"},"timestamp":5,"referral":{"ref":"r"}}`: "messaging_referrals page/1/messaging_referrals/2/5/r",
		`{"sender":{"id":"2"},"timestamp":5,"app_roles":{}}`:         "messaging_handovers page/1/messaging_handovers/2/5/app_roles",
		`{"messaging_feedback":{}}`:                                  "messaging_feedback page/1/messaging_feedback/" + hash(`{"messaging_feedback":{}}`),
	} {
		for _, body := range []string{
			`{"object":"page","entry":[{"id":"1","messaging":[` + item + `]}]}`,
			`{"entry":[{"id":"1","messaging":[` + item + `]}],"object":"page"}`,
		} {
			e := event.Split([]byte(body))[0]
			if got := e.Field + " " + e.ID(); got != want {
				t.Errorf("%s: got %s, want %s", item, got, want)
			}
		}
	}
	e := event.Split([]byte(`{"entry":[{"id":"1","standby":[{"timestamp":5,"read":{"mid":"m"}}]}],"object":"page"}`))[0]
	if got := e.Field + " " + e.ID(); got != "standby page/1/standby/message_reads/m/5" {
		t.Errorf("got %s", got)
	}
}

// TestThreads reads the envelope of Threads, and others that are none.
func TestThreads(t *testing.T) {
	t.Parallel()
	reply := `{"field":"replies","value":{"id":"9","username":"lena","root_post":{"id":"7","owner_id":"3","username":"shop"}}}`
	for body, want := range map[string][]string{
		`{"target_id":"2","time":5,"values":` + reply + `}`:                                                                                      {"threads/3/replies/9"},
		`{"target_id":"2","time":6,"values":` + reply + `}`:                                                                                      {"threads/3/replies/9"}, // a resend
		`{"values":[` + reply + `],"target_id":"2"}`:                                                                                             {"threads/3/replies/9"},
		`{"object":"threads","target_id":"2","values":[` + reply + `]}`:                                                                          {"threads/3/replies/9"},
		`{"target_id":2,"values":{"field":"mentions","value":{"id":9}}}`:                                                                         {"threads/2/mentions/9"},
		`{"target_id":"2","time":5,"values":{"field":"replies","value":{}}}`:                                                                     {"threads/2/replies/" + hash(`{"field":"replies","value":{}}`)},
		`{"target_id":"2","time":6,"values":{"field":"replies","value":{}}}`:                                                                     {"threads/2/replies/" + hash(`{"field":"replies","value":{}}`)},
		`{"target_id":"2","values":{"field":"new","value":{"id":"9"}}}`:                                                                          {"threads/2/new/" + hash(`{"field":"new","value":{"id":"9"}}`)},
		`{"target_id":"2","values":[` + reply + `,{"field":"delete","value":{"id":"9"}},5]}`:                                                     {"threads/3/replies/9", "threads/2/delete/9", "threads/2/unparsed/" + hash("5")},
		`[{"target_id":"2","values":` + reply + `},{"target_id":"4","values":{"field":"publish","value":{"id":"8"}}}]`:                           {"threads/3/replies/9", "threads/4/publish/8"},
		`{"values":` + reply + `}`:                                                                                                               {"//unparsed/" + hash(`{"values":`+reply+`}`)},
		`{"target_id":"2","values":[]}`:                                                                                                          {"//unparsed/" + hash(`{"target_id":"2","values":[]}`)},
		`{"target_id":"2","values":"replies"}`:                                                                                                   {"//unparsed/" + hash(`{"target_id":"2","values":"replies"}`)},
		`{"object":"instagram","target_id":"2","values":` + reply + `,"entry":[{"id":"1","changes":[{"field":"comments","value":{"id":"9"}}]}]}`: {"instagram/1/comments/9"},
	} {
		checkSplit(t, []byte(body))
		if got := identities([]byte(body)); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
}

// TestNotUniqueWithoutAccount holds that what cannot be told from the next is never
// dropped as a duplicate, Test button or not.
func TestNotUniqueWithoutAccount(t *testing.T) {
	t.Parallel()
	e := event.Split([]byte(`{"object":"ad_account","entry":[{"id":"0","time":5,"changes":[{"field":"in_process_ad_objects","value":{"id":"9"}}]}]}`))[0]
	if e.Test || !e.NotUnique() {
		t.Errorf("test %t, not unique %t", e.Test, e.NotUnique())
	}
}
