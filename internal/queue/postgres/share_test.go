package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// has has a gateway describe itself, and its consumers join.
func has(t *testing.T, s *Store, dedupe string, recipients ...queue.Recipient) {
	t.Helper()
	s.Describe(map[string]string{"dedupe": dedupe}, recipients)
	var consumers []queue.Consumer
	for _, r := range recipients {
		consumers = append(consumers, queue.Consumer{Name: r.Name})
	}
	if err := s.Join(t.Context(), consumers); err != nil {
		t.Fatal(err)
	}
}

// gateways returns what a gateway knows of all.
func gateways(t *testing.T, s *Store) ([]queue.Gateway, int64) {
	t.Helper()
	all, generation, err := s.Gateways(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all, generation
}

var (
	crm = queue.Recipient{Name: "crm", Fields: []string{"messages"}}
	bot = queue.Recipient{Name: "bot"}
)

// TestGateways has gateways that share a queue know one another, until they leave.
func TestGateways(t *testing.T) {
	t.Parallel()
	o := newShared(t, 10*time.Second)
	first, second := open(t, o), open(t, o)
	has(t, first, "48h", crm)
	has(t, second, "48h", crm, bot)
	all, _ := gateways(t, second)
	if len(all) != 2 || all[0].This || !all[1].This || all[0].Name == all[1].Name {
		t.Fatalf("gateways %+v", all)
	}
	for i, g := range all {
		want := []string{"[{crm [messages] false}]", "[{crm [messages] false} {bot [] false}]"}[i]
		if fmt.Sprint(g.Recipients) != want || g.Settings["dedupe"] != "48h" || g.Settings["durable"] != "local" || g.Schema != version {
			t.Errorf("%+v, want consumers %s", g, want)
		}
		if ago := time.Since(g.Seen); ago < 0 || ago > time.Minute || g.Since.After(g.Seen.Add(time.Minute)) || g.Since.Location() != time.UTC || g.Seen.Location() != time.UTC || g.Program == "" {
			t.Errorf("%s is there since %v, was seen %s ago, and has the version %q", g.Name, g.Since, ago, g.Program)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if all, _ := gateways(t, second); len(all) != 1 || !all[0].This || strings.Contains(all[0].Name, "#") {
		t.Errorf("gateways %+v once one has left", all)
	}
}

// TestGenerations refuses what was meant for the consumers that there were, once others have
// joined, were described otherwise, or have left.
func TestGenerations(t *testing.T) {
	t.Parallel()
	o := newShared(t, 10*time.Second)
	o.beat = 100 * time.Millisecond // what a gateway says of itself is known after it
	first, second := open(t, o), open(t, o)
	has(t, first, "48h", crm)
	_, generation := gateways(t, first)
	n := 0
	accept := func(generation int64, consumers ...string) error {
		n++
		_, err := first.Accept(t.Context(), []queue.Record{record(fmt.Sprint(n), "")}, queue.Admission{Consumers: consumers, Generation: generation})
		return err
	}
	changed := func(when string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for ; ; time.Sleep(10 * time.Millisecond) {
			err := accept(generation, "crm")
			if errors.Is(err, queue.ErrOutdated) {
				break
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("accepted what does not know that %s: %v", when, err)
			}
		}
		err := queue.ErrOutdated
		for errors.Is(err, queue.ErrOutdated) && time.Now().Before(deadline) { // what was described may be told just now
			_, generation = gateways(t, first)
			err = accept(generation, "crm")
		}
		if err != nil {
			t.Errorf("after %s: %v", when, err)
		}
	}
	if err := accept(generation, "crm"); err != nil {
		t.Error(err)
	}
	has(t, second, "48h", crm, bot)
	if err := accept(generation, "crm"); !errors.Is(err, queue.ErrOutdated) {
		t.Errorf("accepted what a new consumer misses: %v", err)
	}
	changed("there is another consumer")
	if _, err := first.Accept(t.Context(), nil, queue.Admission{Consumers: []string{"crm"}, Generation: generation, MaxEvents: 1000}); err != nil {
		t.Errorf("nothing is refused: %v", err)
	}
	if _, err := first.Accept(t.Context(), nil, queue.Admission{Generation: generation + 1}); !errors.Is(err, queue.ErrOutdated) {
		t.Errorf("nothing is accepted, though somebody may want it: %v", err)
	}
	second.Describe(nil, []queue.Recipient{bot})
	changed("a gateway has another config")
	if err := first.Drop(t.Context(), "bot"); !errors.Is(err, queue.ErrElsewhere) {
		t.Errorf("dropped the consumer of another gateway: %v", err)
	}
	first.Describe(nil, []queue.Recipient{crm, {Name: "archive"}})
	if err := second.Drop(t.Context(), "bot"); err != nil {
		t.Errorf("a gateway cannot drop what only it has: %v", err)
	}
	changed("a consumer is dropped")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	changed("a gateway has left")
	if all, _ := gateways(t, first); len(all) != 1 || len(all[0].Recipients) != 1 {
		t.Errorf("%+v, want a gateway with one consumer: the other has not joined", all)
	}
}

// TestDifferencesAreLogged logs once what gateways have differently, and once that they do
// not any more.
func TestDifferencesAreLogged(t *testing.T) {
	t.Parallel()
	o := newShared(t, 10*time.Second)
	o.check = 20 * time.Millisecond
	core, logs := observer.New(zapcore.InfoLevel)
	logger := zap.New(core)
	first, err := Open(o, func() *zap.Logger { return logger })
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second := open(t, o)
	has(t, first, "48h", crm)
	has(t, second, "24h", crm)
	logged := func(part string) (n int) {
		for _, entry := range logs.All() {
			if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, part) {
				n++
			}
		}
		return n
	}
	wait := func(part string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); logged(part) == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q is not logged: %v", part, logs.All())
			}
		}
	}
	wait("dedupe is 24h on ")
	has(t, second, "48h", crm)
	wait("the same settings again")
	has(t, second, "48h", crm, bot)
	wait("the consumer bot is on ")
	if logged("dedupe is ") != 1 || logged("the consumer bot is on ") != 1 || logged(server.Dir) > 0 {
		t.Errorf("logged %v", logs.All())
	}
}
