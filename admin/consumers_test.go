package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/memory"
	queuehandler "github.com/caddy-instagram/webhooks/queue"
)

// config is a running config that has some consumers of a store.
type config struct {
	queue.Store
	has []string
}

func (c config) Consumers() []string { return c.has }

func (config) Order(consumer string) queue.Order {
	return map[string]queue.Order{"by account": queue.ByAccount, "unordered": queue.Unordered}[consumer]
}

func (c config) Drop(ctx context.Context, consumer string) error {
	if slices.Contains(c.has, consumer) {
		return queuehandler.ErrInConfig
	}
	return c.Store.Drop(ctx, consumer)
}

// newShared returns a store of three consumers, of which archive has left the config.
// All have the events 1, 2 and 3: for archive nothing has happened to them, for bot 1 is
// delivered and the others wait for another attempt, and for crm 1 and 2 are dead and 3
// is being delivered.
func newShared(t testing.TB) Store {
	t.Helper()
	store := Store{Store: memory.New(), Name: "q"}
	store.Running = config{store.Store, []string{"bot", "crm"}}
	names := []string{"archive", "bot", "crm"}
	var consumers []queue.Consumer
	for _, name := range names {
		consumers = append(consumers, queue.Consumer{Name: name, Order: queue.ByConversation})
	}
	if err := store.Join(t.Context(), consumers); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Accept(t.Context(), []queue.Record{record(1), record(2), record(3)}, queue.Admission{Consumers: names}); err != nil {
		t.Fatal(err)
	}
	settleFor(t, store, "bot", 1, queue.Outcome{State: queue.Delivered})
	settleFor(t, store, "bot", 2, inAnHour())
	settleFor(t, store, "crm", 2, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "status 422", Status: 422}})
	settleFor(t, store, "crm", 1, queue.Outcome{})
	return store
}

// settleFor leases the next n events of a consumer and settles them, if the outcome has a
// state.
func settleFor(t testing.TB, store queue.Store, consumer string, n int, outcome queue.Outcome) {
	t.Helper()
	events, _, err := store.Lease(t.Context(), consumer, n)
	if err != nil || len(events) != n {
		t.Fatalf("leased %d events, want %d, %v", len(events), n, err)
	}
	for _, e := range events {
		if outcome.State == "" {
			continue
		}
		if err := store.Settle(t.Context(), e, outcome); err != nil {
			t.Fatal(err)
		}
	}
}

// rows returns the ids and the consumers of the events that are listed.
func rows(t *testing.T, stores []Store, query string) (rows string) {
	t.Helper()
	for _, e := range get[[]Event](t, stores, "GET", "/instagram/queue/events"+query) {
		rows += fmt.Sprintf("%d%s ", e.ID, e.Consumer[:1])
	}
	return strings.TrimSpace(rows)
}

func TestStatusOfEachConsumer(t *testing.T) {
	t.Parallel()
	stores := []Store{newShared(t)}
	figures := func(c Counts) [4]int64 { return [4]int64{c.Pending, c.InFlight, c.Dead, c.Delivered} }
	all := get[[]Status](t, stores, "GET", "/instagram/queue")
	if len(all) != 1 || figures(*all[0].Counts) != [4]int64{6, 1, 2, 1} || all[0].Oldest.IsZero() {
		t.Fatalf("the sums are %+v", all)
	}
	want := map[string][4]int64{"archive": {3, 0, 0, 0}, "bot": {2, 0, 0, 1}, "crm": {1, 1, 2, 0}}
	for _, c := range all[0].Consumers {
		if figures(c.Counts) != want[c.Name] || c.Paused || c.InConfig == nil || *c.InConfig != (c.Name != "archive") {
			t.Errorf("%+v, want %v", c, want[c.Name])
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("not shown: %v", want)
	}
	bot := get[[]Status](t, append(stores, newStore(t, "other")), "GET", "/instagram/queue?consumer=bot")
	if len(bot) != 1 || bot[0].Store != "q" || bot[0].Pending != 2 || len(bot[0].Consumers) != 1 {
		t.Errorf("of bot: %+v", bot)
	}
}

// TestConsumersThatLeftWithNothingAreNotShown shows them if they are asked for, and in
// the file of a stopped server, which does not know what the config is.
func TestConsumersThatLeftWithNothingAreNotShown(t *testing.T) {
	t.Parallel()
	store := Store{Store: memory.New(), Name: "q"}
	store.Running = config{store.Store, []string{"crm"}}
	if err := store.Join(t.Context(), []queue.Consumer{{Name: "crm"}, {Name: "left"}}); err != nil {
		t.Fatal(err)
	}
	shown := func(query string) (names []string) {
		for _, c := range get[[]Status](t, []Store{store}, "GET", "/instagram/queue"+query)[0].Consumers {
			names = append(names, c.Name)
			if (c.InConfig == nil) != (store.Running == nil) {
				t.Errorf("%+v", c)
			}
		}
		return names
	}
	if got := shown(""); !slices.Equal(got, []string{"crm"}) {
		t.Errorf("shown are %v", got)
	}
	if got := shown("?consumer=left"); !slices.Equal(got, []string{"left"}) {
		t.Errorf("asked for left, shown are %v", got)
	}
	store.Running = nil
	if got := shown(""); !slices.Equal(got, []string{"crm", "left"}) {
		t.Errorf("of a stopped server, shown are %v", got)
	}
}

// TestListOfSeveralConsumers lists an event once for each, and cuts no page between
// them.
func TestListOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	store := newShared(t)
	for query, want := range map[string]string{
		"":                                  "3a 3b 3c 2a 2b 2c 1a 1b 1c",
		"?consumer=bot":                     "3b 2b 1b",
		"?consumer=bot&state=pending":       "3b 2b",
		"?state=dead":                       "2c 1c",
		"?limit=1":                          "3a 3b 3c",
		"?limit=1&before=3":                 "2a 2b 2c",
		"?limit=2&order=oldest&bodies=true": "1a 1b 1c 2a 2b 2c",
	} {
		if got := rows(t, []Store{store}, query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	api := &API{MaxBodies: 4 * len(record(1).Body), Stores: func() []Store { return []Store{store} }}
	w := serveAPI(t.Context(), api, "GET", "/instagram/queue/events?bodies=true")
	events := decode[[]Event](t, w)
	if len(events) != 3 || events[2].ID != 3 || string(events[2].Bytes()) != string(record(3).Body) {
		t.Errorf("a page of bodies: %+v", events)
	}
}

func TestShowOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	stores := []Store{newShared(t)}
	w := serve(stores, "GET", "/instagram/queue/events/1")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "the parameter consumer: archive, bot, crm") {
		t.Errorf("without a consumer: %d %s", w.Code, w.Body)
	}
	e := get[Event](t, stores, "GET", "/instagram/queue/events/1?consumer=crm")
	if e.Consumer != "crm" || e.State != queue.Dead || string(e.Bytes()) != string(record(1).Body) || len(e.History) != 1 {
		t.Errorf("got %+v", e)
	}
	if err := stores[0].Discard(t.Context(), "bot", 1); err != nil {
		t.Fatal(err)
	}
	if w := serve(stores, "GET", "/instagram/queue/events/1?consumer=bot"); w.Code != http.StatusNotFound {
		t.Errorf("of one that has it no more: %d %s", w.Code, w.Body)
	}
}

// TestShowTellsTheHistory has an attempt without an answer, one whose answer is text, and
// one whose answer is none.
func TestShowTellsTheHistory(t *testing.T) {
	t.Parallel()
	store := Store{Store: memory.New(), Name: "q"}
	if err := store.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	accept(t, store, record(1))
	ended := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	for _, attempt := range []queue.Attempt{
		{Ended: ended, Took: 30 * time.Second, Error: "timeout"},
		{Ended: ended, Took: 1500 * time.Microsecond, Status: 500, Error: "status 500", Answer: []byte("<b>\xc3\xa4</b>")},
		{Ended: ended, Status: 502, Error: "status 502", Answer: []byte("\xff\x00")},
	} {
		settle(t, store, queue.Outcome{State: queue.Pending, Attempt: attempt})
	}
	w := serve([]Store{store}, "GET", "/instagram/queue/events/1")
	const want = `"history":[{"ended":"2026-02-03T03:05:06Z","took":30,"error":"timeout"},` +
		`{"ended":"2026-02-03T03:05:06Z","took":0.0015,"status":500,"error":"status 500","answer":"<b>ä</b>"},` +
		`{"ended":"2026-02-03T03:05:06Z","took":0,"status":502,"error":"status 502","answer_base64":"/wA="}]`
	if !strings.Contains(w.Body.String(), want) {
		t.Errorf("%s\nwant\n%s", w.Body, want)
	}
	e := decode[Event](t, w)
	for i, answer := range []string{"", "<b>ä</b>", "\xff\x00"} {
		if got := string(e.History[i].Bytes()); got != answer {
			t.Errorf("answer %d is %q, want %q", i, got, answer)
		}
	}
	if listed := serve([]Store{store}, "GET", "/instagram/queue/events"); strings.Contains(listed.Body.String(), "history") {
		t.Errorf("listed: %s", listed.Body)
	}
}

// TestRetryOfSeveralConsumers leaves those alone that are not meant.
func TestRetryOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	stores := []Store{newShared(t)}
	for _, test := range []struct {
		path  string
		count int
		dead  string
	}{
		{"retry?state=dead&consumer=bot", 0, "2c 1c"},
		{"retry?state=dead&consumer=bot&dry_run=true", 0, "2c 1c"},
		{"retry?state=dead&dry_run=true", 2, "2c 1c"},
		{"events/2/retry?consumer=bot", 1, "2c 1c"},
		{"events/3/retry", 1, "2c 1c"}, // for bot; crm has it just now
		{"events/1/retry?consumer=crm", 1, "2c"},
		{"events/1/retry", 1, "2c"}, // bot had it
		{"retry?state=dead", 1, ""},
	} {
		if got := get[Retried](t, stores, "POST", "/instagram/queue/"+test.path); got.Count != test.count {
			t.Errorf("%s: %+v, want %d", test.path, got, test.count)
		}
		if got := rows(t, stores, "?state=dead"); got != test.dead {
			t.Errorf("after %s, %q are dead, want %q", test.path, got, test.dead)
		}
	}
	if w := serve(stores, "POST", "/instagram/queue/events/3/retry?consumer=crm"); w.Code != http.StatusConflict {
		t.Errorf("of one that is being delivered: %d %s", w.Code, w.Body)
	}
}

// TestDiscardOfSeveralConsumers forgets an event only for those that are selected.
func TestDiscardOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	store := newShared(t)
	stores := []Store{store}
	do := func(method, path string, status int, left string) {
		t.Helper()
		w := serve(stores, method, "/instagram/queue/"+path)
		if got := rows(t, stores, ""); w.Code != status || got != left {
			t.Errorf("%s: %d %s, left are %s, want %s", path, w.Code, w.Body, got, left)
		}
	}
	do("POST", "discard?state=dead&dry_run=true", 200, "3a 3b 3c 2a 2b 2c 1a 1b 1c")
	do("POST", "discard?state=dead&limit=1", 200, "3a 3b 3c 2a 2b 1a 1b 1c")
	do("POST", "discard?state=pending&consumer=archive&before=3", 200, "3a 3b 3c 2b 1b 1c")
	do("DELETE", "events/3?consumer=bot", 204, "3a 3c 2b 1b 1c")
	do("DELETE", "events/3", 409, "3a 3c 2b 1b 1c")
	do("DELETE", "events/1", 204, "3a 3c 2b")
	do("DELETE", "events/2?consumer=crm", 404, "3a 3c 2b")

	// The next page begins after the last event, however many consumers have it.
	stores[0] = newShared(t)
	const pending = "/instagram/queue/discard?state=pending&limit=2"
	if d := get[Discarded](t, stores, "POST", pending); d != (Discarded{Count: 4, InFlight: 1, Before: 2}) {
		t.Errorf("the first page: %+v", d)
	}
	if d := get[Discarded](t, stores, "POST", pending+"&before=2"); d != (Discarded{Count: 1}) {
		t.Errorf("the second page: %+v", d)
	}
}

// unpausable is a running config whose consumers were dropped just now.
type unpausable struct{ config }

func (unpausable) Pause(context.Context, string, bool) error { return queue.ErrNoConsumer }

// TestPause pauses by way of the running config, if there is one.
func TestPause(t *testing.T) {
	t.Parallel()
	store := newShared(t)
	paused := func() bool {
		stats, err := store.consumers(t.Context(), "bot")
		if err != nil {
			t.Fatal(err)
		}
		return stats[0].Paused
	}
	for _, path := range []string{"pause", "resume"} { // in this order
		want := path == "pause"
		if got := get[Paused](t, []Store{store}, "POST", "/instagram/queue/"+path+"?consumer=bot"); got != (Paused{"bot", want}) || paused() != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	store.Running = unpausable{}
	if w := serve([]Store{store}, "POST", "/instagram/queue/pause?consumer=bot"); w.Code != http.StatusNotFound || paused() {
		t.Errorf("of a consumer that is gone: %d %s", w.Code, w.Body)
	}
	store.Running = nil
	if got := get[Paused](t, []Store{store}, "POST", "/instagram/queue/pause?consumer=bot"); !got.Paused || !paused() {
		t.Errorf("of a stopped server: %+v", got)
	}
}

func TestDrop(t *testing.T) {
	t.Parallel()
	stores := []Store{newShared(t)}
	for _, name := range []string{"bot", "crm"} {
		if w := serve(stores, "POST", "/instagram/queue/drop?consumer="+name); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "in the config") {
			t.Errorf("%s, which the config has: %d %s", name, w.Code, w.Body)
		}
	}
	if got := get[Dropped](t, stores, "POST", "/instagram/queue/drop?consumer=archive"); got != (Dropped{Consumer: "archive", Pending: 3}) {
		t.Errorf("got %+v", got)
	}
	if w := serve(stores, "POST", "/instagram/queue/drop?consumer=archive"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "there are: bot, crm") {
		t.Errorf("again: %d %s", w.Code, w.Body)
	}
	stores[0].Running = nil
	if w := serve(stores, "POST", "/instagram/queue/drop?consumer=crm"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "being delivered") {
		t.Errorf("while an event is being delivered: %d %s", w.Code, w.Body)
	}
	if got := get[Dropped](t, stores, "POST", "/instagram/queue/drop?consumer=bot"); got != (Dropped{"bot", 2, 0, 1}) {
		t.Errorf("of a stopped server: %+v", got)
	}
}
