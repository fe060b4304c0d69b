package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// strangers are deliveries of three events each that have nothing to do with each
// other, however much they look alike. The first holds the word "first".
var strangers = map[string]string{
	"seen without a sender": `{"object":"instagram","entry":[{"id":"1","messaging":[{"timestamp":1,"read":{"mid":"first"}},{"timestamp":1,"read":{"mid":"m2"}},{"timestamp":1,"read":{"mid":"m3"}}]}]}`,
	"edits without a sender": `{"object":"instagram","entry":[{"id":"1","messaging":[{"timestamp":1,"message_edit":{"mid":"first","num_edit":1}},
		{"timestamp":1,"message_edit":{"mid":"m2","num_edit":1}},{"timestamp":1,"message_edit":{"mid":"m3","num_edit":1}}]}]}`,
	"comments on a media": `{"object":"instagram","entry":[{"id":"1","changes":[{"field":"comments","value":{"id":"11","from":{"id":"5"},"media":{"id":"9"},"text":"first"}},
		{"field":"comments","value":{"id":"12","from":{"id":"6"},"media":{"id":"9"}}},{"field":"live_comments","value":{"id":"13","from":{"id":"7"},"media":{"id":"9"}}}]}]}`,
	"comments on a post": `{"object":"page","entry":[{"id":"1","changes":[{"field":"feed","value":{"from":{"id":"5"},"post_id":"1_2","parent_id":"1_2","comment_id":"2_1","message":"first"}},
		{"field":"feed","value":{"from":{"id":"6"},"post_id":"1_2","parent_id":"1_2","comment_id":"2_2"}},{"field":"feed","value":{"from":{"id":"7"},"post_id":"1_2","parent_id":"1_2","item":"like"}}]}]}`,
	"leads": `{"object":"page","entry":[{"id":"1","changes":[{"field":"leadgen","value":{"leadgen_id":"first"}},{"field":"leadgen","value":{"leadgen_id":"2"}},{"field":"leadgen","value":{"leadgen_id":"3"}}]}]}`,
	"messages of WhatsApp": `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messages":[{"id":"a","from":"5","text":{"body":"first"}},{"id":"b","from":"6"}],
		"statuses":[{"id":"c","status":"sent","timestamp":"1","recipient_id":"7"}]}}]}]}`,
	"replies on Threads": `{"target_id":"1","values":[{"field":"replies","value":{"id":"1","text":"first","replied_to":{"id":"9"},"root_post":{"id":"9"}}},
		{"field":"replies","value":{"id":"2","replied_to":{"id":"9"},"root_post":{"id":"9"}}},{"field":"replies","value":{"id":"3","replied_to":{"id":"9"},"root_post":{"id":"9"}}}]}`,
}

// TestQueueStrangersPassAFailedEvent has an application that cannot take one event
// of each kind: no stranger may wait for it.
func TestQueueStrangersPassAFailedEvent(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Match: "first", Status: 500})
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	for _, body := range strangers {
		caddy.Deliver(t, []byte(body), 200)
	}
	for _, got := range app.WaitDelivered(t, 2*len(strangers)) {
		if first := strings.Contains(string(got.Body), "first"); first == got.Delivered() {
			t.Errorf("answered %d: %s", got.Status, got.Body)
		}
	}
	app.Behave()
	app.WaitDelivered(t, 3*len(strangers))
}

// TestQueueTwoAppsGetTheSameEvent sends the same event signed by two apps, and each
// of these again, as Meta does: each app gets it once.
func TestQueueTwoAppsGetTheSameEvent(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `instagram_webhook {
		verify_token x
		app_secret one %s
		app_secret two %s
	}
	instagram_queue {
		store sqlite %q
		min_free_space 0B
		@one vars {instagram.secret} one
		handle @one {
			reverse_proxy %s {
				header_up X-App one
			}
		}
		handle {
			reverse_proxy %[4]s {
				header_up X-App two
			}
		}
	}`, harness.Secret, otherSecret, caddy.Queue, app.Addr)
	client := caddy.Client(t, harness.HTTP1)
	for time := range 3 {
		for _, key := range []string{harness.Secret, otherSecret} {
			body := fmt.Sprintf(`{"object":"instagram","entry":[{"time":17672256001%d0,"id":"1","messaging":[{"sender":{"id":"5"},"recipient":{"id":"1"},"timestamp":1767225600000,"message":{"mid":"m","text":"hello"}}]}]}`, time)
			if got := client.Do(t, harness.NewDelivery(t, harness.HTTP1, caddy.URL, key, []byte(body))); got.Status != 200 {
				t.Fatalf("answered %d", got.Status)
			}
		}
	}
	caddy.WaitMetric(t, `queue_events_total{consumer="default",field="messages",result="delivered"}`, 2)
	if n := caddy.Metric(t, `queue_events_total{consumer="",field="messages",result="duplicate"}`); n != 4 {
		t.Errorf("%v duplicates, want 4", n)
	}
	got := make(map[string]string)
	for _, one := range app.WaitIdle(t) {
		got[one.Header.Get("X-App")] = one.Header.Get("Idempotency-Key")
	}
	if len(got) != 2 || got["one"] != "instagram/1/messages/m" || got["two"] != got["one"] {
		t.Errorf("got %v", got)
	}
}

// TestQueueRoutesOtherProducts sends WhatsApp and Threads through matchers, twice.
func TestQueueRoutesOtherProducts(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, fmt.Sprintf(`min_free_space 0B
	dedupe 8d
	@threads instagram {
		object threads
		field replies
		account 3
	}
	handle @threads {
		reverse_proxy %s {
			header_up X-Product threads
		}
	}
	@whatsapp instagram {
		object whatsapp_business_account
		field messages
	}
	handle @whatsapp {
		reverse_proxy %[1]s {
			header_up X-Product whatsapp
		}
	}`, app.Addr))
	whatsApp := `{"object":"whatsapp_business_account","entry":[{"id":"17","changes":[{"field":"messages","value":{"messages":[%s],"statuses":[{"id":"s","status":"read","timestamp":"5","recipient_id":"2"}]}}]}]}`
	threads := `{"target_id":"2","time":%d,"values":{"field":"replies","value":{"id":"9","root_post":{"id":"7","owner_id":"3"}}}}`
	one, two := `{"id":"a","from":"2"}`, `{"id":"b","from":"2"}`
	for i, messages := range []string{one, one + "," + two, two + "," + one} {
		caddy.Deliver(t, fmt.Appendf(nil, whatsApp, messages), 200)
		caddy.Deliver(t, fmt.Appendf(nil, threads, 1790000000+i), 200)
	}
	want := map[string]string{
		"whatsapp_business_account/17/messages/a":        "whatsapp",
		"whatsapp_business_account/17/messages/b":        "whatsapp",
		"whatsapp_business_account/17/messages/s/read/5": "whatsapp",
		"threads/3/replies/9":                            "threads",
	}
	app.WaitDelivered(t, len(want))
	attempts := app.WaitIdle(t)
	for _, got := range attempts {
		if id := got.Header.Get("Idempotency-Key"); got.Header.Get("X-Product") != want[id] || !got.Delivered() {
			t.Errorf("%s went to %q: %d", id, got.Header.Get("X-Product"), got.Status)
		}
	}
	if len(attempts) != len(want) {
		t.Errorf("%d attempts", len(attempts))
	}
}
