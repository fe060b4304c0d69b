package command

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/memory"
	queuehandler "github.com/caddy-instagram/webhooks/queue"
)

// shareQueue has three consumers join a store and accepts three comments for them: for
// archive nothing happens to them, for bot the first waits for another attempt, and for
// crm all are dead.
func shareQueue(t testing.TB, store queue.Store) {
	t.Helper()
	names := []string{"archive", "bot", "crm"}
	var consumers []queue.Consumer
	for _, name := range names {
		consumers = append(consumers, queue.Consumer{Name: name, Order: queue.Unordered})
	}
	if err := store.Join(t.Context(), consumers); err != nil {
		t.Fatal(err)
	}
	acceptFor(t, store, names, commented(3)...)
	for _, step := range []struct {
		consumer string
		n        int
		outcome  queue.Outcome
	}{{"bot", 1, later}, {"crm", 3, dead}} {
		events, _, err := store.Lease(t.Context(), step.consumer, step.n)
		if err != nil || len(events) != step.n {
			t.Fatalf("leased %d events of %s, %v", len(events), step.consumer, err)
		}
		for _, e := range events {
			if err := store.Settle(t.Context(), e, step.outcome); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// config is a running config that has some consumers of a store.
type config struct {
	queue.Store
	has []string
}

func (c config) Consumers() []string { return c.has }

func (config) Order(string) queue.Order { return queue.ByConversation }

func (c config) Drop(ctx context.Context, consumer string) error {
	if slices.Contains(c.has, consumer) {
		return queuehandler.ErrInConfig
	}
	return c.Store.Drop(ctx, consumer)
}

// newSharedServer serves a store in memory that several consumers share. The config has
// bot and crm.
func newSharedServer(t testing.TB) (*queueServer, queue.Store) {
	t.Helper()
	store := memory.New()
	shareQueue(t, store)
	return newQueueServer(t, admin.Store{Store: store, Name: "q", Running: config{store, []string{"bot", "crm"}}}), store
}

func TestQueueStatusOfEachConsumer(t *testing.T) {
	t.Parallel()
	s, store := newSharedServer(t)
	if err := store.Pause(t.Context(), "archive", true); err != nil {
		t.Fatal(err)
	}
	if err := store.Pause(t.Context(), "bot", true); err != nil {
		t.Fatal(err)
	}
	r := s.run(t, "status")
	r.want(t, 0, "STORE  CONSUMER ", "")
	for _, want := range []string{
		`q +archive \(not in the config, paused\) +3 +\d+ B +0 +0 +0 .* accepted\n`,
		`q +bot \(paused\) +3 +\d+ B +0 +0 +0 .* accepted\n`, `q +crm +0 +0 B +0 +3 +0 +- +accepted\n`,
	} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("no %s in\n%s", want, r.out)
		}
	}
	if one := s.run(t, "status", "--consumer", "crm"); strings.Count(one.out, "\n") != 2 || !strings.Contains(one.out, "crm") {
		t.Errorf("of crm:\n%s", one.out)
	}
	got := decode[queueStatus](t, s.run(t, "status", "--json"))
	if len(got.Stores) != 1 || got.Stores[0].Pending != 6 || len(got.Stores[0].Consumers) != 3 || !got.Stores[0].Consumers[1].Paused {
		t.Errorf("found %+v", got)
	}
	s.run(t, "status", "--consumer", "x").want(t, 2, "", "there is no such consumer; there are: archive, bot, crm")
}

// TestQueueStatusOfOneConsumer prints nothing of consumers as long as there is only the
// one of a config that names none, unless it is paused.
func TestQueueStatusOfOneConsumer(t *testing.T) {
	t.Parallel()
	for name, of := range map[string][]admin.Consumer{
		"of a Caddy that knows no consumers": nil,
		"of the default":                     {{Name: queue.DefaultConsumer, InConfig: new(true)}},
	} {
		var out bytes.Buffer
		l := &queueStatus{Stores: []admin.Status{{Store: "q", Counts: new(admin.Counts), Consumers: of}, {Store: "r", Error: "lost"}}}
		l.text(&console{out: &out})
		if strings.Contains(out.String(), "CONSUMER") || strings.Contains(out.String(), "default") || strings.Count(out.String(), "\n") != 3 {
			t.Errorf("%s:\n%s", name, out.String())
		}
	}
	store, _ := newQueue(t)
	accept(t, store, commented(1)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "pause", "default").want(t, 0, "default is paused", "")
	s.run(t, "status").want(t, 0, "default (paused)", "")
}

func TestQueueListOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	s, _ := newSharedServer(t)
	r := s.run(t, "list", "--limit", "2")
	r.want(t, 0, "ID  CONSUMER  STATE", "There may be more: see them with --before 2")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 7 || !strings.HasPrefix(lines[1], "3   archive   pending") || !strings.HasPrefix(lines[6], "2   crm       dead") {
		t.Errorf("printed\n%s", r.out)
	}
	if one := s.run(t, "list", "--consumer", "bot"); strings.Count(one.out, "\n") != 4 || strings.Contains(one.out, "crm") {
		t.Errorf("of bot:\n%s", one.out)
	}
	if got := decode[queueList](t, s.run(t, "list", "--state", "dead", "--json")); len(got.Events) != 3 || got.Events[0].Consumer != "crm" {
		t.Errorf("the dead ones: %+v", got)
	}

	// A page of the API has fewer events than the list.
	store := memory.New()
	if err := store.Join(t.Context(), []queue.Consumer{{Name: "bot"}, {Name: "crm"}}); err != nil {
		t.Fatal(err)
	}
	const all = admin.MaxLimit + 2
	acceptFor(t, store, []string{"bot", "crm"}, commented(all)...)
	s = newQueueServer(t, admin.Store{Store: store, Name: "q"})
	for limit, left := range map[int]uint64{all - 1: 2, all: 1, all + 1: 0} {
		got := decode[queueList](t, s.run(t, "list", "--json", "--limit", fmt.Sprint(limit)))
		if len(got.Events) != 2*min(limit, all) || got.Before != left {
			t.Errorf("limit %d: %d events, before %d, want %d", limit, len(got.Events), got.Before, left)
		}
	}
}

// TestExportOfSeveralConsumers writes an event once, however many have it.
func TestExportOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	s, _ := newSharedServer(t)
	all := commented(3)
	for _, args := range [][]string{nil, {"--state", "pending"}, {"--consumer", "crm"}, {"--consumer", "crm", "--state", "dead"}} {
		if r := s.run(t, append([]string{"export"}, args...)...); r.status != 0 || r.out != lines(all, exportCloudEvents) {
			t.Errorf("%v: exit code %d\n%s%s", args, r.status, r.out, r.errors)
		}
	}
	if r := s.run(t, "export", "--consumer", "bot", "--state", "dead"); r.status != 0 || r.out != "" {
		t.Errorf("what is dead for bot: %+v", r)
	}
	ledger := writeFile(t, "ledger", strings.Join([]string{all[0].ID(), all[1].ID(), all[2].ID()}, "\n")+"\n")
	code, out, errs := simulateIn(t, "", "--ledger", ledger, "--verify-queue", "--address", s.Listener.Addr().String())
	if code != 0 || !strings.Contains(out, "3 of 3 events found") || strings.Contains(out, "twice") {
		t.Errorf("simulate: exit code %d\n%s%s", code, out, errs)
	}
}

func TestShowOfSeveralConsumers(t *testing.T) {
	t.Parallel()
	s, _ := newSharedServer(t)
	s.run(t, "show", "1").want(t, 1, "", "several consumers have the event: choose one with --consumer: archive, bot, crm")
	s.run(t, "show", "1", "--consumer", "crm").want(t, 0, "consumer    crm\n", "")
	s.run(t, "show", "1", "--consumer", "x").want(t, 2, "", "there is no such consumer")
}

// TestShowPrintsTheHistory prints what applications answered, which may be anything.
func TestShowPrintsTheHistory(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-5 * time.Minute)
	e := &queueEvent{Event: &admin.Event{ID: 1, State: queue.Dead, Field: "comments", History: []admin.Attempt{
		{Ended: at, Took: 30, Error: "timeout"},
		{Ended: at, Took: 0.0124, Status: 500, Error: "status 500", Answer: "\r\n <b>\x1b[31m  no\tdatabase</b>\r\nsecond line"},
		{Ended: at, Took: 1.5, Status: 410, Error: "status 410", AnswerBase64: []byte("\xff\x1bgone")},
		{Ended: at, Status: 503, Error: "503: down for maintenance", Answer: "down for\nmaintenance, until noon"},
		{Ended: at, Status: 502, Error: "502: connection refused"},
		{Ended: at, Status: 500, Error: "500: aaa", Answer: strings.Repeat("a", 1024)},
	}}}
	printed := func(width int) string {
		var out bytes.Buffer
		e.text(&console{out: &out, width: width})
		return out.String()
	}
	for _, want := range []string{
		`\nATTEMPT +TOOK +STATUS +ERROR +ANSWER\n`, ` UTC \(5m ago\)  30s +- +timeout *\n`,
		`  12ms  500     status 500 +<b> \[31m no database</b> second line\n`, `  1\.5s  410     status 410 +gone\n`,
		`  0s +503  +down for maintenance, until noon\n`, `  0s +502  +connection refused *\n`,
	} {
		if text := printed(0); !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, width := range []int{20, 80} {
		for _, want := range []string{"  12ms  500\n    status 500\n    <b> [31m no database</b> second line\n", "\n    timeout\n"} {
			if text := printed(width); !strings.Contains(text, want) || strings.ContainsAny(text, "\x1b\ufffd") {
				t.Errorf("no %q on %d columns in\n%s", want, width, text)
			}
		}
	}
	if text := printed(0); !strings.Contains(text, " "+strings.Repeat("a", maxAnswer)+"…\n") {
		t.Errorf("a long answer:\n%s", text)
	}
	e.History = nil
	if text := printed(0); strings.Contains(text, "ATTEMPT") {
		t.Errorf("without attempts:\n%s", text)
	}
}

// TestRetryAndDiscardOfOneConsumer leave the others what they have.
func TestRetryAndDiscardOfOneConsumer(t *testing.T) {
	t.Parallel()
	s, store := newSharedServer(t)
	left := func(consumer string, pending, dead int64) {
		t.Helper()
		all, err := store.Stats(t.Context())
		if got := queue.StatsOf(all, consumer); err != nil || got.Pending != pending || got.Dead != dead {
			t.Errorf("%s has %+v, want %d pending and %d dead, %v", consumer, got, pending, dead, err)
		}
	}
	s.run(t, "retry", "--all", "--consumer", "bot").want(t, 0, "0 events will", "")
	s.run(t, "retry", "--all", "--consumer", "x").want(t, 2, "", "there is no such consumer")
	s.run(t, "retry", "1", "--consumer", "crm").want(t, 0, "1 event will be delivered again.", "")
	left("crm", 1, 2)
	s.run(t, "retry", "1", "2").want(t, 0, "2 events will be delivered again.", "") // 1 for bot, 2 for crm
	left("crm", 2, 1)
	s.run(t, "discard", "--all").want(t, 0, "1 event forgotten.", "")
	left("crm", 2, 0)
	left("archive", 3, 0)
	s.run(t, "discard", "3", "--consumer", "crm").want(t, 2, "", "event 3: there is no such event")
	s.run(t, "discard", "3", "--consumer", "bot").want(t, 0, "1 event forgotten.", "")
	left("bot", 2, 0)
	s.run(t, "discard", "1").want(t, 0, "1 event forgotten.", "")
	left("archive", 2, 0)
	left("bot", 1, 0)
	left("crm", 1, 0)
}

func TestPauseResumeAndDrop(t *testing.T) {
	t.Parallel()
	s, _ := newSharedServer(t)
	for _, command := range []string{"pause", "resume", "drop"} {
		s.run(t, command).want(t, 1, "", "which consumer?")
		s.run(t, command, "").want(t, 1, "", "which consumer?")
		s.run(t, command, "bot", "crm").want(t, 1, "", "too many arguments")
		r := s.run(t, command, "x", "--json")
		r.want(t, 2, "", "there is no such consumer; there are: archive, bot, crm")
		if got := decode[outcome](t, r); got.Error == nil {
			t.Errorf("%s: %s", command, r.out)
		}
	}
	s.run(t, "pause", "bot").want(t, 0, "bot is paused: what is accepted for it waits until 'resume'.\n", "")
	if got := decode[pausedConsumer](t, s.run(t, "pause", "bot", "--json")); got.Consumer != "bot" || !got.Paused.Paused {
		t.Errorf("pause: %+v", got)
	}
	s.run(t, "resume", "bot").want(t, 0, "bot is not paused.\n", "")
	s.run(t, "drop", "bot").want(t, 2, "", queuehandler.ErrInConfig.Error())
	r := s.run(t, "drop", "archive", "--json")
	if got := decode[droppedConsumer](t, r); r.status != 0 || got.Consumer != "archive" || got.Pending != 3 {
		t.Errorf("drop: %+v", r)
	}
	s.run(t, "status").want(t, 0, "bot", "")
	runQueue(t, "drop", "bot", "--address", nobody(t)).want(t, 2, "", "no Caddy answers at ")
}

// TestConsumersOfAStoppedServer works on a file as on a running Caddy.
func TestConsumersOfAStoppedServer(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	if err := store.Drop(t.Context(), queue.DefaultConsumer); err != nil {
		t.Fatal(err)
	}
	shareQueue(t, store)
	s := newQueueServer(t, admin.Store{Store: store, Name: path})
	commands := [][]string{
		{"status"}, {"status", "--consumer", "crm"}, {"list"}, {"list", "--consumer", "bot", "--limit", "1"},
		{"show", "2", "--consumer", "crm"}, {"export", "--consumer", "crm", "--state", "dead"}, {"show", "2"}, {"list", "--consumer", "x"},
	}
	var running []ran
	for _, args := range commands {
		running = append(running, s.run(t, args...))
	}
	closeQueue(t, store)
	file := func(args ...string) ran { return runQueue(t, append(args, "--file", path)...) }
	age := regexp.MustCompile(`\(\d+s ago\) *`)
	for i, args := range commands {
		got, want := file(args...), running[i]
		want.out = strings.ReplaceAll(want.out, " accepted\n", " stopped\n")
		got.out, want.out = age.ReplaceAllString(got.out, ""), age.ReplaceAllString(want.out, "")
		if got != want {
			t.Errorf("%v: %+v\nof the running Caddy: %+v", args, got, want)
		}
	}
	file("pause", "bot").want(t, 0, "bot is paused", "")
	file("status").want(t, 0, "bot (paused)", "")
	file("resume", "bot").want(t, 0, "bot is not paused", "")
	file("drop", "crm").want(t, 0, "crm is dropped, 0 events given up.\n", "")
	file("drop", "archive").want(t, 0, "archive is dropped, 3 events given up.\n", "")
	file("drop", "archive").want(t, 2, "", "there is no such consumer; there are: bot")
	file("list").want(t, 0, "bot", "")
	file("check").want(t, 0, "sound", "")
}
