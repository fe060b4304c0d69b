package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// watched is a feed and the server of an admin API that shows it.
func watched(t *testing.T) (*live.Feed, string) {
	feed := live.New()
	server := httptest.NewServer((&API{Feed: feed}).Handler())
	t.Cleanup(server.Close)
	return feed, server.URL
}

// open opens a stream. Next returns the lines of its next event that has data, with spaces
// between them, or "" at the end.
func openStream(t *testing.T, url string, lastID string) (next func() string, end context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() string {
		var event []string
		for lines.Scan() {
			if line := lines.Text(); line != "" {
				event = append(event, line)
				continue
			}
			if text := strings.Join(event, " "); strings.Contains(text, "data: ") {
				return text
			}
			event = nil
		}
		if errors.Is(lines.Err(), context.DeadlineExceeded) {
			t.Error("the stream told nothing, and did not end")
		}
		return ""
	}, cancel
}

func TestLive(t *testing.T) {
	t.Parallel()
	feed, url := watched(t)
	at := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	next, end := openStream(t, url+"/instagram/live", "")
	feed.Publish(live.Event{Kind: live.Attempt, Time: at, Status: 500, Reason: "500", Error: "answered 500 <b>", Field: "messages",
		Account: "1", Conversation: "c", Consumer: "crm", ID: 1<<64 - 1, Try: 2, Took: 0.5})
	feed.Publish(live.Event{Kind: live.Delivery, Time: at, Status: 200, Events: 3, ClientIP: "192.0.2.1", Field: "comments messages"})
	for _, want := range []string{
		`id: 1 event: attempt data: {"time":"2026-01-31T08:00:00Z","status":500,"reason":"500","error":"answered 500 <b>","field":"messages","account":"1","conversation":"c","consumer":"crm","id":"18446744073709551615","attempt":2,"took":0.5}`,
		`id: 2 event: delivery data: {"time":"2026-01-31T08:00:00Z","status":200,"field":"comments messages","events":3,"client_ip":"192.0.2.1"}`,
	} {
		if got := next(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	end()
	feed.Publish(live.Event{Kind: live.Refusal, Time: at, Status: 401, Reason: "signature_missing"})
	next, _ = openStream(t, url+"/instagram/live", "2")
	if got := next(); !strings.HasPrefix(got, "id: 3 event: refusal ") {
		t.Errorf("after the return: %s", got)
	}
	// One that was away for long.
	for range 5000 {
		feed.Publish(live.Event{Kind: live.Delivery, Time: at, Status: 200})
	}
	next, _ = openStream(t, url+"/instagram/live", "3")
	if got := next(); got != `event: missed data: {"missed":904}` {
		t.Errorf("what was missed: %s", got)
	}
	if got := next(); !strings.HasPrefix(got, "id: 908 ") {
		t.Errorf("after what was missed: %s", got)
	}
}

func TestLiveFilters(t *testing.T) {
	t.Parallel()
	events := []live.Event{
		{Kind: live.Delivery, Status: 200, Field: "comments messages"},
		{Kind: live.Delivery, Status: 503, Reason: "503", Field: "messages"},
		{Kind: live.Refusal, Status: 401, Reason: "signature_missing"},
		{Kind: live.Attempt, Status: 200, Consumer: "crm", Field: "comments"},
		{Kind: live.Attempt, Reason: "timeout", Consumer: "bot", Field: "messages"},
		{Kind: live.Refusal, Status: 1, Consumer: "bot", Field: "comments messages", Reason: "the last"}, // passes every filter but kind
	}
	for query, want := range map[string]string{
		"":                            "1 2 3 4 5 6",
		"?kind=delivery":              "1 2",
		"?kind=refusal":               "3 6",
		"?kind=attempt":               "4 5",
		"?failed=true":                "2 3 5 6",
		"?failed=false":               "1 2 3 4 5 6",
		"?field=messages":             "1 2 5 6",
		"?consumer=bot":               "5 6",
		"?field=comments&failed=true": "6",
		"?kind=attempt&failed=true":   "5",
	} {
		t.Run(query, func(t *testing.T) {
			feed, url := watched(t)
			next, _ := openStream(t, url+"/instagram/live"+query, "")
			for _, e := range events {
				feed.Publish(e)
			}
			var got []string
			for range strings.Fields(want) {
				var id uint64
				if _, err := fmt.Sscanf(next(), "id: %d", &id); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(id))
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("got %s, want %s", text, want)
			}
		})
	}
}

func TestLiveRefusals(t *testing.T) {
	t.Parallel()
	_, url := watched(t)
	for query, status := range map[string]int{"?kind=message": 400, "?failed=1": 400, "?state=dead": 400, "?field=": 400} {
		resp := ask(t, http.MethodGet, url+"/instagram/live"+query)
		if resp.StatusCode != status {
			t.Errorf("%s: %s, want %d", query, resp.Status, status)
		}
	}
	if resp := ask(t, http.MethodPost, url+"/instagram/live"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET" {
		t.Errorf("POST: %s, %v", resp.Status, resp.Header)
	}
	for range 16 {
		openStream(t, url+"/instagram/live", "")
	}
	if resp := ask(t, http.MethodGet, url+"/instagram/live"); resp.StatusCode != 503 {
		t.Errorf("the 17th reader: %s", resp.Status)
	}
}

func ask(t *testing.T, method, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// The admin endpoint of a new config ends the streams of the one before, for which Caddy
// waits. It is not run in parallel: it ends those of other tests.
func TestLiveEnds(t *testing.T) {
	if err := new(API).Provision(caddy.Context{}); err != nil { // the config that is replaced
		t.Fatal(err)
	}
	_, url := watched(t)
	next, _ := openStream(t, url+"/instagram/live", "")
	if err := new(API).Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "" {
		t.Errorf("the stream did not end: %s", got)
	}
}

func TestOverview(t *testing.T) {
	t.Parallel()
	feed := live.New()
	store := newFullStore(t)
	api := &API{Feed: feed, Stores: func() []Store { return []Store{store} }}
	now := time.Now()
	feed.Accepted(now)
	feed.Came(now, testAccount, "messages")
	feed.AppSecret("old")
	feed.AppSecret("new").Set(now)
	feed.Consumer(queue.DefaultConsumer).Failed(now, "answered 500 Internal Server Error")
	feed.Refuse(now, "signature_missing", 401, errors.New("no signature"), "192.0.2.1")
	o := decode[Overview](t, serveAPI(t.Context(), api, "GET", "/instagram/overview"))
	sum := func(minutes []uint32) (n uint32) { // a minute may have ended meanwhile
		for _, of := range minutes {
			n += of
		}
		return n
	}
	if len(o.Stores) != 1 || o.Stores[0].Dead != 2 || o.Stores[0].Consumers[0].LastError.Error != "answered 500 Internal Server Error" ||
		sum(o.Minutes.Accepted) != 1 || sum(o.Minutes.Refused) != 1 || sum(o.Minutes.Consumers["default"].Failed) != 1 ||
		len(o.Accounts) != 1 || o.Accounts[0].Account != testAccount ||
		len(o.AppSecrets) != 2 || o.AppSecrets[0].Name != "new" || o.Now.Before(now.Add(-time.Second)) {
		text, _ := json.Marshal(o)
		t.Errorf("overview: %s", text)
	}
	refusals := decode[[]live.Refused](t, serveAPI(t.Context(), api, "GET", "/instagram/refusals"))
	if len(refusals) != 1 || refusals[0].Reason != "signature_missing" || refusals[0].Detail != "no signature" || refusals[0].Count != 1 {
		t.Errorf("refusals: %+v", refusals)
	}
}
