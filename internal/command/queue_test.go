package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

func TestQueueStatus(t *testing.T) {
	t.Parallel()
	a, _ := newQueue(t)
	accept(t, a, commented(2)...)
	settle(t, a, dead)
	var total int64
	for _, e := range accept(t, a, commented(3)...) {
		total += int64(len(e.Envelope()))
	}
	lease(t, a)
	b, _ := newQueue(t)
	s := newQueueServer(t, admin.Store{Store: a, Name: "a.db"}, admin.Store{Store: b, Name: "b.db",
		RefusingSince: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Refusal: errors.New("the disk is full")})

	r := s.run(t, "status")
	r.want(t, 0, "STORE", "")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 5 || lines[4] != "b.db refuses deliveries: the disk is full" || !strings.HasSuffix(lines[1], "accepted") || !strings.Contains(lines[2], "refused since 2026-02-03 04:05:06 UTC (") || !strings.HasSuffix(lines[2], "d ago)") {
		t.Errorf("printed\n%s", r.out)
	}
	row := []string{"a.db", "3", sizeText(total), "3", "2", "0", ""}
	if got := strings.Join(strings.Fields(lines[1]), " "); !strings.HasPrefix(got, strings.Join(row, " ")) {
		t.Errorf("%q, want %q", got, row)
	}
	found := decode[queueStatus](t, s.run(t, "status", "--json"))
	if len(found.Stores) != 2 || found.Stores[0].Dead != 2 || found.Stores[0].InFlight != 3 || found.Stores[1].RefusingSince.IsZero() {
		t.Errorf("found %+v", found)
	}
	if one := decode[queueStatus](t, s.run(t, "status", "--json", "--store", "b.db")); len(one.Stores) != 1 || one.Stores[0].Store != "b.db" {
		t.Errorf("of b.db: %+v", one)
	}
	newQueueServer(t).run(t, "status").want(t, 0, "No queue is open", "")
}

func TestQueueList(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(2)...)
	settle(t, store, later)
	accept(t, store, event.Split([]byte("\x1b[31m not JSON"))...)
	lease(t, store)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})

	r := s.run(t, "list")
	r.want(t, 0, "LAST ERROR", "")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "3   in flight  unparsed  -") || !strings.Contains(lines[2], "pending") ||
		!strings.HasSuffix(lines[3], strings.TrimSpace(visible(later.Error))) {
		t.Errorf("printed\n%s", r.out)
	}
	s.run(t, "list", "--state", "dead").want(t, 0, "There are no such events.", "")
	s.run(t, "list", "--field", "comments", "--limit", "1").want(t, 0, "comments", "--before 2")
	s.run(t, "list", "--before", "2").want(t, 0, "\n1   pending", "")
	if empty := s.run(t, "list", "--state", "dead", "--json"); !strings.Contains(empty.out, `"events": []`) {
		t.Errorf("printed %s", empty.out)
	}
	for _, args := range [][]string{
		{"--state", "lost"}, {"--since", "yesterday"}, {"--limit", "0"}, {"--limit", "100001"}, {"--before", "x"}, {"surplus"},
	} {
		if r := s.run(t, append([]string{"list"}, args...)...); r.status != 1 || r.errors == "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestQueueListGoesOverPages(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	const all = 2500
	accept(t, store, commented(all)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	for limit, left := range map[int]uint64{2000: 501, all - 1: 2, all: 1, all + 1: 0} {
		r := s.run(t, "list", "--json", "--since", "1h", "--limit", fmt.Sprint(limit))
		r.want(t, 0, "", "")
		found := decode[queueList](t, r)
		if len(found.Events) != min(limit, all) || found.Before != left {
			t.Errorf("limit %d: %d events, before %d, want %d", limit, len(found.Events), found.Before, left)
		}
		for i, e := range found.Events {
			if e.ID != uint64(all-i) || e.Bytes() != nil {
				t.Fatalf("limit %d: event %d is %+v", limit, i, e)
			}
		}
	}
}

func TestQueueShow(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1)...)
	accept(t, store, event.Split([]byte("\x1b[31m not JSON"))...)
	settle(t, store, later)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	r := s.run(t, "show", "1")
	r.want(t, 0, "\n{\n  \"object\": \"instagram\",\n", "")
	r.want(t, 0, "https://hooks.example.com/webhooks\n", "")
	s.run(t, "show", "2").want(t, 0, "\nG1szMW0gbm90IEpTT04=\n", "")
	if e := decode[queueEvent](t, s.run(t, "show", "2", "--json")); string(e.Bytes()) != "\x1b[31m not JSON" || e.Attempts != 1 {
		t.Errorf("got %+v", e)
	}
	s.run(t, "show").want(t, 1, "", "which event?")
	s.run(t, "show", "s").want(t, 1, "", "argument 1")
	s.run(t, "show", "0").want(t, 1, "", "argument 1")
	s.run(t, "show", "1", "2").want(t, 1, "", "too many")
	r = s.run(t, "show", "3", "--json")
	r.want(t, 2, "", "there is no such event")
	if o := decode[outcome](t, r); o.Error == nil || o.Error.Message != "there is no such event" {
		t.Errorf("printed %s", r.out)
	}
}

func TestQueueRetryEach(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(2)...)
	settle(t, store, dead)
	accept(t, store, commented(1)...)
	lease(t, store)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "retry", "1", "x").want(t, 1, "", "argument 2")
	s.run(t, "retry").want(t, 1, "", "which events?")
	s.run(t, "retry", "1", "--all").want(t, 1, "", "either ids or --all")
	s.run(t, "retry", "1", "--dry-run").want(t, 1, "", "--dry-run is for --all")
	if s.asked("POST") != 0 {
		t.Errorf("asked for %v", s.requests)
	}
	s.run(t, "retry", "3", "4").want(t, 2, "", "event 4: there is no such event")
	s.run(t, "retry", "3", "1", "4").want(t, 3, "1 event will be delivered again.", "event 3: the event is being delivered just now")
	s.run(t, "retry", "1").want(t, 0, "Event 1 is due anyway.", "")
	r := s.run(t, "retry", "1", "2", "--json")
	r.want(t, 0, "", "")
	if got := decode[retriedEvents](t, r); got.Count != 1 || !slices.Equal(got.Waiting, []uint64{1}) {
		t.Errorf("printed %s", r.out)
	}
	if due := lease(t, store); len(due) != 2 {
		t.Errorf("%d events are due, want 2", len(due))
	}
}

func TestQueueRetryAll(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1200)...)
	accept(t, store, event.Split([]byte("not JSON"))...)
	settle(t, store, dead)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "retry", "--all", "--dry-run").want(t, 0, "1201 events would be delivered again.", "")
	s.run(t, "retry", "--all", "--state", "delivered").want(t, 0, "0 events will", "")
	s.run(t, "retry", "--all", "--state", "").want(t, 1, "", "--state is empty")
	s.run(t, "retry", "--all", "--account", "").want(t, 1, "", "--account is empty: give it a value, or leave it out")
	s.run(t, "retry", "--all", "--rate", "0").want(t, 1, "", "rate")
	s.run(t, "retry", "--all", "--since", "24x").want(t, 1, "", "24h")
	s.run(t, "retry", "--all", "--field", "unparsed", "--account", "1", "--since", "24h").want(t, 0, "0 events will", "")
	s.run(t, "retry", "--all", "--field", "unparsed", "--since", "24h", "--rate", "0.5").want(t, 0, "1 event will", "")
	r := s.run(t, "retry", "--all", "--account", "17841400000000001", "--rate", "100000", "--json")
	if got := decode[retriedEvents](t, r); r.status != 0 || got.Count != 1200 || got.DryRun {
		t.Errorf("%+v", r)
	}
	if s.asked("POST /instagram/queue/retry?account=17841400000000001&rate=100000&state=dead") != 1 {
		t.Errorf("asked for %v", s.requests)
	}
}

// What Caddy could not do is told from what nobody knows.
func TestQueueRetryThatFails(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(2)...)
	settle(t, store, dead)
	s := newQueueServer(t, admin.Store{Store: &faulty{Store: store, requeue: errors.New("the disk is full"), discard: errors.New("the disk is full")}, Name: "q"})
	s.run(t, "retry", "--all").want(t, 3, "", "made 2 events pending, then: the disk is full")
	s.run(t, "retry", "1", "2").want(t, 3, "", "1 event after it: not tried")
	s.run(t, "discard", "1").want(t, 3, "", "the disk is full")

	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer broken.Close()
	address := broken.Listener.Addr().String()
	runQueue(t, "retry", "--all", "--address", address).want(t, 3, "", "it is not known")
	runQueue(t, "retry", "--all", "--dry-run", "--address", address).want(t, 2, "", "EOF")
	runQueue(t, "compact", "--address", address).want(t, 3, "", "it is not known")
	runQueue(t, "list", "--address", address).want(t, 2, "", "EOF")
}

func TestQueueDiscard(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1)...)
	lease(t, store)
	accept(t, store, commented(3)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "discard", "2").want(t, 0, "1 event forgotten.", "")
	s.run(t, "discard", "2").want(t, 2, "", "event 2: there is no such event")
	r := s.run(t, "discard", "1", "3", "4", "--json")
	r.want(t, 3, "", "event 1: the event is being delivered just now")
	if got := decode[discardedEvents](t, r); !slices.Equal(got.IDs, []uint64{3, 4}) || got.Count != 2 || got.Error == nil {
		t.Errorf("printed %s", r.out)
	}
	s.run(t, "discard").want(t, 1, "", "which events?")
}

func TestQueueCommandsWithoutAnswer(t *testing.T) {
	t.Parallel()
	a, _ := newQueue(t)
	b, _ := newQueue(t)
	two := newQueueServer(t, admin.Store{Store: a, Name: "a.db"}, admin.Store{Store: b, Name: "b.db"})
	without := newQueueServer(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	chatty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer chatty.Close()
	commands := [][]string{
		{"list"}, {"show", "1"}, {"retry", "1"}, {"retry", "--all"}, {"discard", "1"}, {"discard", "--all"}, {"export"}, {"check"}, {"compact"},
	}
	for _, args := range commands {
		two.run(t, args...).want(t, 1, "", "a.db, b.db")
		two.run(t, append(args, "--store", "c.db")...).want(t, 2, "", "a.db, b.db")
		without.run(t, args...).want(t, 2, "", "no queue is open")
		runQueue(t, append(args, "--address", plain.Listener.Addr().String())...).want(t, 2, "", "no instagram plugin")
		runQueue(t, append(args, "--address", nobody(t))...).want(t, 2, "", "no Caddy answers at 127.0.0.1:")
		runQueue(t, append(args, "--address", "a:b:c")...).want(t, 1, "", "a:b:c")
		runQueue(t, append(args, "--config", filepath.Join(t.TempDir(), "none.json"))...).want(t, 1, "", "none.json")
	}
	two.run(t, "list", "--store", "b.db").want(t, 0, "no such events", "")
	runQueue(t, "list", "--address", chatty.Listener.Addr().String()).want(t, 2, "", "cannot be understood")
	runQueue(t, "unknown").want(t, 1, "", "no such sub-command")
}

func TestQueueAddresses(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	dir, err := os.MkdirTemp("", "queue") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.Config.Handler}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	runQueue(t, "list", "--address", "unix/"+socket).want(t, 0, "comments", "")

	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, []byte(`{"admin":{"listen":"unix/`+socket+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runQueue(t, "list", "--config", config); r.status != 0 || !strings.Contains(r.out, "comments") {
		t.Errorf("%+v", r)
	}
}

// An interrupt ends a command that waits for Caddy.
func TestQueueInterrupt(t *testing.T) {
	t.Parallel()
	for status, args := range map[int][]string{2: {"list"}, 3: {"retry", "--all"}} {
		ctx, cancel := context.WithCancel(t.Context())
		hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}))
		runQueueUntil(t, ctx, append(args, "--address", hanging.Listener.Addr().String())...).want(t, status, "", "interrupted")
		hanging.CloseClientConnections()
		hanging.Close()
	}
}

var _ queue.Maintainer = (*faulty)(nil)
