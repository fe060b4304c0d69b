package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	a, b := newStore(t, "a.db"), newStore(t, "b.db")
	accept(t, a, record(1))
	settle(t, a, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "status 410"}})
	accept(t, a, record(2))
	settle(t, a, queue.Outcome{State: queue.Delivered})
	accept(t, a, record(3))
	before := time.Now()
	lease(t, a)
	accept(t, a, record(4))
	b.RefusingSince = time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))

	all := get[[]map[string]any](t, []Store{a, b}, "GET", "/instagram/queue")
	oldest, err := time.Parse(time.RFC3339, fmt.Sprint(all[0]["oldest"]))
	if err != nil || oldest.After(before) || before.Sub(oldest) > time.Minute {
		t.Errorf("oldest is %v, want about %v", all[0]["oldest"], before)
	}
	for i, want := range []float64{2, 0} {
		of := all[i]["consumers"].([]any)[0].(map[string]any)
		if len(all[i]["consumers"].([]any)) != 1 || of["consumer"] != "default" || of["pending"] != want || of["oldest"] != all[i]["oldest"] {
			t.Errorf("of %s: %v", all[i]["store"], all[i]["consumers"])
		}
		delete(all[i], "consumers")
	}
	delete(all[0], "oldest")
	size := float64(len(record(3).Body) + len(record(4).Body))
	want := []string{
		fmt.Sprint(map[string]any{"store": "a.db", "pending": 2., "pending_bytes": size, "in_flight": 1., "dead": 1., "delivered": 1.}),
		fmt.Sprint(map[string]any{"store": "b.db", "pending": 0., "pending_bytes": 0., "in_flight": 0., "dead": 0., "delivered": 0., "refusing_since": "2026-02-03T03:05:06Z"}),
	}
	if len(all) != 2 || fmt.Sprint(all[0]) != want[0] || fmt.Sprint(all[1]) != want[1] {
		t.Errorf("got\n%v\nwant\n%v", all, want)
	}
	if one := get[[]Status](t, []Store{a, b}, "GET", "/instagram/queue?store=b.db"); len(one) != 1 || one[0].Store != "b.db" {
		t.Errorf("store=b.db: %+v", one)
	}
	if none := serve(nil, "GET", "/instagram/queue"); none.Code != http.StatusOK || none.Body.String() != "[]\n" {
		t.Errorf("without stores: %d %s", none.Code, none.Body)
	}
}

// uncountable is a store that cannot say what it holds.
type uncountable struct{ queue.Store }

func (uncountable) Stats(ctx context.Context) ([]queue.Stats, error) {
	return nil, errors.New("the disk is gone")
}

func TestStatusOfABrokenStore(t *testing.T) {
	t.Parallel()
	broken := newStore(t, "broken.db")
	broken.Store = uncountable{broken.Store}
	broken.RefusingSince = time.Now()
	all := get[[]map[string]any](t, []Store{broken, newStore(t, "sound.db")}, "GET", "/instagram/queue")
	if all[0]["error"] != "the disk is gone" || all[0]["refusing_since"] == nil || all[0]["pending"] != nil {
		t.Errorf("of the broken one: %v", all[0])
	}
	if all[1]["pending"] != 0. || all[1]["error"] != nil {
		t.Errorf("of the sound one: %v", all[1])
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1))
	settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "status 410"}})
	message := record(2)
	message.Field, message.Account = "messages", "1"
	accept(t, store, message)
	settle(t, store, inAnHour())
	accept(t, store, record(3))
	lease(t, store)
	accept(t, store, record(4))

	tests := []struct {
		query string
		want  []uint64
	}{
		{"", []uint64{4, 3, 2, 1}},
		{"?state=dead", []uint64{1}},
		{"?state=pending", []uint64{4, 3, 2}},
		{"?state=delivered", []uint64{}},
		{"?field=messages", []uint64{2}},
		{"?account=" + testAccount, []uint64{4, 3, 1}},
		{"?account=" + testAccount + "&state=pending&before=4", []uint64{3}},
		{"?limit=2", []uint64{4, 3}},
		{"?limit=2&before=3", []uint64{2, 1}},
		{"?before=1", []uint64{}},
		{"?since=1h", []uint64{4, 3, 2, 1}},
		{"?since=0s", []uint64{}},
		{"?since=2001-02-03T04:05:06%2B07:00", []uint64{4, 3, 2, 1}},
		{"?since=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339), []uint64{}},
		{"?store=q&bodies=false", []uint64{4, 3, 2, 1}},
	}
	for _, test := range tests {
		events := get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events"+test.query)
		got := []uint64{}
		for _, e := range events {
			got = append(got, e.ID)
			if e.Bytes() != nil {
				t.Errorf("%q: a body was not asked for", test.query)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %v, want %v", test.query, got, test.want)
		}
	}
}

func TestListSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	ordered := record(1)
	ordered.Conversation = testAccount + "/1"
	accept(t, store, ordered)
	settle(t, store, inAnHour())
	accept(t, store, record(2))
	settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "status 410"}})
	accept(t, store, record(3))
	lease(t, store)

	w := serve([]Store{store}, "GET", "/instagram/queue/events?bodies=true")
	if strings.Contains(w.Body.String(), "s3cr3t") || strings.Contains(w.Body.String(), "czNjcjN0") {
		t.Errorf("a secret is shown: %s", w.Body)
	}
	var events []map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &events); err != nil || len(events) != 3 {
		t.Fatalf("%v in %s", err, w.Body)
	}
	for i, want := range []string{
		`{"app_secret":"instagram","attempts":0,"body":{"n":3,"object":"instagram"},"consumer":"default","field":"comments","in_flight":true,"lane":"live","state":"pending"}`,
		`{"app_secret":"instagram","attempts":1,"body":{"n":2,"object":"instagram"},"consumer":"default","field":"comments","last_error":"status 410","settled":"a time","state":"dead"}`,
		`{"app_secret":"instagram","attempts":1,"body":{"n":1,"object":"instagram"},"consumer":"default","due":"a time","field":"comments","lane":"retried","last_error":"status 500","order":"17841400000000001/1","state":"pending"}`,
	} {
		e := events[i]
		n := 3 - i
		same := map[string]any{
			"id": float64(n), "identity": record(n).Identity, "account": testAccount,
			"url": "https://hooks.example.com/webhooks", "size": float64(len(record(n).Body)),
		}
		for name, value := range same {
			if e[name] != value {
				t.Errorf("event %d: %s is %v, want %v", n, name, e[name], value)
			}
			delete(e, name)
		}
		for _, name := range []string{"accepted", "due", "settled"} {
			if text, ok := e[name].(string); ok {
				if _, err := time.Parse(time.RFC3339, text); err != nil || !strings.HasSuffix(text, "Z") {
					t.Errorf("event %d: %s is %q", n, name, text)
				}
				e[name] = "a time"
			}
		}
		if e["accepted"] != "a time" {
			t.Errorf("event %d: there is no time of acceptance", n)
		}
		delete(e, "accepted")
		if got, _ := json.Marshal(e); string(got) != want {
			t.Errorf("event %d:\n%s\nwant\n%s", n, got, want)
		}
	}
}

func TestBodiesAreByteForByte(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	bodies := []string{
		`{"a" : 1.50, "b":"<\u00e4>"}`, "{\n\t\"a\": 1\n}", `[]`, `"text"`, `null`,
		`{"open`, "\x00\xff", "\"\xff\"",
	}
	for i, body := range bodies {
		r := record(i)
		r.Body = []byte(body)
		accept(t, store, r)
	}
	for i, body := range bodies {
		id := strconv.Itoa(i + 1)
		e := get[Event](t, []Store{store}, "GET", "/instagram/queue/events/"+id)
		if string(e.Bytes()) != body || e.Size != len(body) {
			t.Errorf("%q came as %q", body, e.Bytes())
		}
		if inJSON := i < 5; inJSON != (e.Body != nil) || inJSON != (e.BodyBase64 == nil) {
			t.Errorf("%q: body %s, body_base64 %q", body, e.Body, e.BodyBase64)
		}
	}
	for i, e := range get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events?bodies=true") {
		if want := bodies[len(bodies)-1-i]; string(e.Bytes()) != want {
			t.Errorf("listed: %q came as %q", want, e.Bytes())
		}
	}
}

// An answer stays within bounds however large the bodies are, and paging sees
// each event once.
func TestListOfLargeBodies(t *testing.T) {
	t.Parallel()
	const maxBodies = 10_000 // else it takes long
	store := newStore(t, "q")
	api := &API{MaxBodies: maxBodies, Stores: func() []Store { return []Store{store} }}
	for i, size := range []int{1, maxBodies, maxBodies / 2, maxBodies / 2, maxBodies + 10} {
		r := record(i)
		r.Body = bytes.Repeat([]byte{'x'}, size)
		accept(t, store, r)
	}
	var pages [][]uint64
	for before := ""; ; {
		events := decode[[]Event](t, serveAPI(t.Context(), api, "GET", "/instagram/queue/events?bodies=true&limit=1000"+before))
		if len(events) == 0 {
			break
		}
		var ids []uint64
		for _, e := range events {
			ids = append(ids, e.ID)
			if len(e.Bytes()) != e.Size {
				t.Errorf("event %d: %d bytes, want %d", e.ID, len(e.Bytes()), e.Size)
			}
		}
		pages = append(pages, ids)
		before = fmt.Sprintf("&before=%d", ids[len(ids)-1])
	}
	if got, want := fmt.Sprint(pages), "[[5] [4 3] [2] [1]]"; got != want {
		t.Errorf("pages %s, want %s", got, want)
	}
}

// counting counts how often events are listed.
type counting struct {
	queue.Store
	calls int
}

func (c *counting) List(ctx context.Context, filter queue.Filter) ([]queue.Event, error) {
	c.calls++
	return c.Store.List(ctx, filter)
}

// TestBodiesOfAPageAreReadAtOnce has as many bodies as fit cost one more look into the
// store, however many they are.
func TestBodiesOfAPageAreReadAtOnce(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	for i := range 50 {
		accept(t, store, record(i))
	}
	counted := &counting{Store: store.Store}
	store.Store = counted
	events := get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events?bodies=true&limit=40")
	if len(events) != 40 || events[39].Body == nil || counted.calls != 2 {
		t.Errorf("%d events were listed in %d calls", len(events), counted.calls)
	}
	if get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events?bodies=true&state=dead"); counted.calls != 3 {
		t.Errorf("%d calls once no event was listed", counted.calls)
	}
}

// forgetful forgets an event after it was listed.
type forgetful struct {
	queue.Store
	id uint64
}

func (f forgetful) List(ctx context.Context, filter queue.Filter) ([]queue.Event, error) {
	events, err := f.Store.List(ctx, filter)
	if err == nil && !filter.Bodies {
		err = f.Discard(ctx, "", f.id)
	}
	return events, err
}

func TestEventIsForgottenWhileListed(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1), record(2), record(3))
	store.Store = forgetful{store.Store, 2}
	events := get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events?bodies=true")
	if len(events) != 3 || events[0].Body == nil || events[1].Bytes() != nil || events[2].Body == nil {
		t.Errorf("got %+v", events)
	}
}
