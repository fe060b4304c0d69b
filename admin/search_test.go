package admin

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// body is the body of a message with a text.
func body(sender, recipient, text string) []byte {
	return fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":%q,"time":1767225600,"messaging":[{"sender":{"id":%q},"recipient":{"id":%q},`+
		`"timestamp":1767225600000,"message":{"mid":"m1","text":%q}}]}]}`, testAccount, sender, recipient, text)
}

// searchPages asks for all pages of what a query selects, and returns the ids.
func searchPages(t *testing.T, store Store, query string, most int) (ids []string) {
	t.Helper()
	before := ""
	for range most {
		found := get[Found](t, []Store{store}, "GET", "/instagram/events?"+query+before)
		for _, e := range found.Events {
			ids = append(ids, strconv.FormatUint(e.ID, 10))
		}
		if found.Next == 0 {
			return ids
		}
		before = "&before=" + strconv.FormatUint(found.Next, 10)
	}
	t.Errorf("%s: there is no end after %d pages", query, most)
	return ids
}

func TestSearch(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1))
	settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "410: Gone"}})
	accept(t, store, record(2))
	settle(t, store, queue.Outcome{State: queue.Delivered})
	accept(t, store, record(3))
	settle(t, store, inAnHour())
	var more []queue.Record
	for n := 4; n <= 30; n++ {
		r := record(n)
		r.Conversation = fmt.Sprintf("thread %d", n%3)
		switch n {
		case 12: // of the Test button
			r.Body = body("12334", "23245", "random")
		case 13, 14: // the second one is of the account itself
			r.Body = body("1", testAccount, "hello")
			if n == 14 {
				r.Body = body(testAccount, "1", "hello")
			}
		case 15:
			r.Body = []byte("not JSON")
		}
		more = append(more, r)
	}
	accept(t, store, more...)
	for query, want := range map[string]string{
		"state=dead":                       "1",
		"state=delivered":                  "2",
		"failed=true":                      "3 1",
		"failed=true&state=dead":           "1",
		"cause=410":                        "1",
		"cause=500":                        "",
		"test=true":                        "12",
		"echo=true":                        "14",
		"echo=true&test=true":              "",
		"id=1":                             "19 18 17 16 15 14 13 12 11 10 1",
		"id=30":                            "30",
		"id=31":                            "",
		"id=1&state=dead":                  "1",
		"id=2&limit=3":                     "29 28 27 26 25 24 23 22 21 20 2",
		"conversation=thread+1&limit=4":    "28 25 22 19 16 13 10 7 4",
		"conversation=thread":              "",
		"account=1":                        "",
		"since=1h&state=delivered":         "2",
		"since=2999-01-01T00:00:00Z":       "",
		"field=comments&id=7&failed=false": "7",
	} {
		if got := strings.Join(searchPages(t, store, query, 12), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if all := searchPages(t, store, "limit=7", 6); len(all) != 30 || all[0] != "30" || all[29] != "1" {
		t.Errorf("in pages of seven: %v", all)
	}
	for _, query := range []string{"id=x", "id=0", "test=yes", "failed=1", "order=oldest", "after=3"} {
		if w := serve([]Store{store}, "GET", "/instagram/events?"+query); w.Code != 400 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// An event that several consumers have is found once, with all of them.
func TestSearchConsumers(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	if err := store.Join(t.Context(), []queue.Consumer{{Name: "crm"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		both := queue.Admission{Consumers: []string{queue.DefaultConsumer, "crm"}}
		r := record(n)
		r.Body = body("12334", "23245", "random")
		if _, err := store.Accept(t.Context(), []queue.Record{r}, both); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "410"}})
	for query, want := range map[string]string{
		"limit=3":                          "10 10 9 9 8 8 7 7 6 6 5 5 4 4 3 3 2 2 1 1",
		"limit=3&test=true":                "10 10 9 9 8 8 7 7 6 6 5 5 4 4 3 3 2 2 1 1",
		"limit=3&failed=true":              "10 9 8 7 6 5 4 3 2 1",
		"limit=4&consumer=crm&test=true":   "10 9 8 7 6 5 4 3 2 1",
		"limit=100&consumer=crm&cause=410": "",
	} {
		if got := strings.Join(searchPages(t, store, query, 6), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	const last = 1234
	for _, prefix := range []uint64{1, 2, 12, 123, 1234, 1235, 9, 1<<63 - 1} {
		var want, got []string
		for id := uint64(last); id > 0; id-- {
			if text := strconv.FormatUint(id, 10); strings.HasPrefix(text, strconv.FormatUint(prefix, 10)) {
				want = append(want, text)
			}
		}
		for _, in := range spans(prefix, last) {
			for id := in.high; id >= in.low; id-- {
				got = append(got, strconv.FormatUint(id, 10))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", prefix, got, want)
		}
	}
	if got := spans(9, 1<<64-1); got[len(got)-1] != (span{9, 9}) || got[0].low < 1<<62 {
		t.Errorf("the highest: %v", got)
	}
}

// A step that would read too much ends earlier, between two events.
func TestSearchBodies(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	for n := range 5 {
		r := record(n)
		if r.Body = body("12334", "23245", "random"); n == 2 {
			r.Body = make([]byte, maxLook+1)
		}
		accept(t, store, r)
	}
	if got := strings.Join(searchPages(t, store, "test=true", 5), " "); got != "5 4 2 1" {
		t.Errorf("found %s", got)
	}
}

func TestDetail(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	if err := store.Join(t.Context(), []queue.Consumer{{Name: "crm"}}); err != nil {
		t.Fatal(err)
	}
	both := queue.Admission{Consumers: []string{queue.DefaultConsumer, "crm"}}
	for n := range 3 {
		r := record(n)
		r.Conversation, r.Body = "thread", body("1", testAccount, "meet me at noon")
		if _, err := store.Accept(t.Context(), []queue.Record{r}, both); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, store, record(3))
	settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Status: 410, Error: "410: Gone", Ended: time.Now()}})
	stores := []Store{store}
	w := serve(stores, "GET", "/instagram/events/2")
	text := w.Body.String()
	d := decode[Detail](t, w)
	if len(d.Consumers) != 2 || d.Consumers[0].Consumer != "crm" || d.Consumers[1].State != queue.Pending || d.BlockedBy != 1 || d.Previous != 1 || d.Binary {
		t.Errorf("event 2: %s", text)
	}
	if want := strings.Replace(string(body("1", testAccount, "meet me at noon")), "meet me at noon", strings.Repeat("•", 15), 1); d.Text != want {
		t.Errorf("the body is %s, want %s", d.Text, want)
	}
	header := make(map[string]string)
	for _, h := range d.Headers {
		header[h[0]] = h[1]
	}
	if header["X-Instagram-Attempt"] != "1" || header["X-Hub-Signature-256"] != "sha256=$IG_SIGNATURE" || header["Idempotency-Key"] == "" {
		t.Errorf("headers: %v", d.Headers)
	}
	for _, secret := range []string{"noon", "s3cr3t", "7333637233", "token="} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown in %s", secret, text)
		}
	}
	d = get[Detail](t, stores, "GET", "/instagram/events/1?consumer=default")
	if len(d.Consumers) != 1 || d.BlockedBy != 0 || d.Previous != 0 || len(d.Consumers[0].History) != 1 || d.Consumers[0].History[0].Status != 410 {
		t.Errorf("event 1: %+v", d)
	}
	if d = get[Detail](t, stores, "GET", "/instagram/events/4"); d.BlockedBy != 0 || d.Previous != 0 {
		t.Errorf("without a conversation: %+v", d)
	}
	if w := serve(stores, "GET", "/instagram/events/5"); w.Code != 404 {
		t.Errorf("no event: %d %s", w.Code, w.Body)
	}
	if b := get[Body](t, stores, "POST", "/instagram/events/2/reveal?by=alice"); b.Text != string(body("1", testAccount, "meet me at noon")) {
		t.Errorf("revealed: %s", b.Text)
	}
	if w := serve(stores, "GET", "/instagram/events/2/reveal"); w.Code != 405 {
		t.Errorf("revealed by GET: %d %s", w.Code, w.Body)
	}
}

// TestBlockedBy has consumers of each order.
func TestBlockedBy(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	orders := []string{"by conversation", "by account", "unordered"}
	store.Running = config{Store: store.Store, has: orders}
	for _, name := range orders {
		if err := store.Join(t.Context(), []queue.Consumer{{Name: name, Order: store.Running.Order(name)}}); err != nil {
			t.Fatal(err)
		}
	}
	for n, conversation := range []string{"a", "b", "a", ""} {
		r := record(n)
		r.Conversation = conversation
		if _, err := store.Accept(t.Context(), []queue.Record{r}, queue.Admission{Consumers: orders}); err != nil {
			t.Fatal(err)
		}
	}
	for order, want := range map[string][]uint64{"by conversation": {0, 0, 1, 0}, "by account": {0, 1, 2, 3}, "unordered": {0, 0, 0, 0}} {
		for i, blocker := range want {
			d := get[Detail](t, []Store{store}, "GET", fmt.Sprintf("/instagram/events/%d?consumer=%s", i+1, url.QueryEscape(order)))
			if d.BlockedBy != blocker {
				t.Errorf("%s: event %d is blocked by %d, want %d", order, i+1, d.BlockedBy, blocker)
			}
		}
	}
}

func TestDetailOfWhatIsNoText(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	for _, text := range []string{"jane\xff", "form=jane", strings.Repeat("x", maxMasked+1)} {
		r := record(len(text))
		r.Body = []byte(text)
		accept(t, store, r)
	}
	stores := []Store{store}
	for id, want := range map[int]Body{1: {"", true}, 2: {"•••••••••", false}, 3: {"", true}} {
		if d := get[Detail](t, stores, "GET", fmt.Sprintf("/instagram/events/%d", id)); d.Body != want {
			t.Errorf("%d: %v, want %v", id, d.Body, want)
		}
	}
	if b := get[Body](t, stores, "POST", "/instagram/events/1/reveal"); b != (Body{"amFuZf8=", true}) {
		t.Errorf("revealed: %v", b)
	}
}

func TestCauses(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	for n, text := range []string{"410: Gone", "", "410: Gone", "500: " + strings.Repeat("ü", 60) + "1", "500: " + strings.Repeat("ü", 60) + "2"} {
		accept(t, store, record(n))
		settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: text}})
	}
	found := get[Causes](t, []Store{store}, "GET", "/instagram/dead")
	if found.LookedAt != 5 || found.More || len(found.Causes) != 3 {
		t.Fatalf("causes: %+v", found)
	}
	for i, want := range []struct {
		cause  string
		count  int
		sample uint64
	}{{"410: Gone", 2, 3}, {"500: " + strings.Repeat("ü", 37), 2, 5}, {"no error is known", 1, 2}} {
		c := found.Causes[i]
		if c.Cause != want.cause || c.Count != want.count || c.Sample != want.sample || c.Consumer != queue.DefaultConsumer || c.Last.Before(c.First) {
			t.Errorf("cause %d: %+v, want %v", i, c, want)
		}
	}
	// The cause selects its events.
	if got := searchPages(t, store, "state=dead&cause="+url.QueryEscape(found.Causes[1].Cause), 2); len(got) != 2 {
		t.Errorf("the second cause selects %v", got)
	}
	if retried := get[Retried](t, []Store{store}, "POST", "/instagram/queue/retry?state=dead&cause="+url.QueryEscape("410: Gone")); retried.Count != 2 {
		t.Errorf("%d retried, want 2", retried.Count)
	}
}
