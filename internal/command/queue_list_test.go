package command

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// refused is an error whose end is what matters.
const refusedError = "status 502 Bad Gateway: dial unix /run/php/php8.3-fpm-of-a-pool-with-a-long-name.sock: connect: permission denied"

// TestQueueListNeverCutsTheCause prints the errors whole: in the last column of
// what is piped and of a terminal with room for it, and in lines of their own on others,
// whose tables fit.
func TestQueueListNeverCutsTheCause(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := &queueList{Events: []*admin.Event{
		{ID: 1_000_207, State: queue.Pending, Field: "messaging_postbacks", Account: "17841400000000001", Size: 1 << 20,
			Accepted: now.Add(-4 * time.Hour), Due: now.Add(36*time.Hour + 30*time.Minute), Attempts: 12, LastError: refusedError},
		{ID: 1, State: queue.Delivered, Field: "comments", Accepted: now.Add(-72 * time.Hour)},
	}}
	for _, width := range []int{0, 20, 66, 80, 100, 120, 160, 300} {
		var out, notes bytes.Buffer
		l.text(&console{out: &out, err: &notes, width: width})
		text := out.String()
		wanted := []string{"1000207", "pending", "messaging_postbacks", "12", "4h ago", "3d ago"}
		switch {
		case width == 0 || width == 300:
			wanted = append(wanted, "LAST ERROR\n", "17841400000000001", "1.0 MiB", "in 36h", "  "+refusedError+"\n")
		default:
			wanted = append(wanted, "\n    "+refusedError+"\n")
		}
		if width == 80 && notes.String() != "Not shown: size, account. With --wide, all is.\n" {
			t.Errorf("on %d columns it says %q", width, &notes)
		}
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("no %q on %d columns:\n%s", want, width, text)
			}
		}
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimSpace(line))); width >= 66 && n > width && !strings.HasPrefix(line, "    ") {
				t.Errorf("a row has %d columns of %d:\n%s", n, width, text)
			}
		}
	}
}

// TestTerminalsObeyNoErrors prints on a terminal what an application answered.
func TestTerminalsObeyNoErrors(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &queueList{Events: []*admin.Event{{ID: 1, State: queue.Dead, Field: "a\x1b[31m", LastError: "status 500 \x1b[31m\u009b\nred"}}}
	l.text(&console{out: &out, width: 60})
	if strings.ContainsAny(out.String(), "\x1b\u009b") || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("printed %q", out.String())
	}
}

func TestTimesTellSecondsZoneAndAge(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 28, 4, 12, 7, 0, time.FixedZone("CET", 3600))
	for after, want := range map[time.Duration]string{
		0:                            "0s ago",
		119 * time.Second:            "119s ago",
		2 * time.Minute:              "2m ago",
		4*time.Hour + 59*time.Minute: "4h ago",
		47 * time.Hour:               "47h ago",
		48 * time.Hour:               "2d ago",
		-90 * time.Second:            "in 90s",
		-36 * time.Hour:              "in 36h",
	} {
		if got := ago(at, at.Add(after)); got != "2026-11-28 03:12:07 UTC ("+want+")" {
			t.Errorf("after %s: %s", after, got)
		}
	}
	if got := ago(time.Time{}, at); got != "-" {
		t.Errorf("no time is %s", got)
	}
}

// TestQueueOfAStoppedServer looks into the file of a queue that nobody serves, as
// into that of a running Caddy.
func TestQueueOfAStoppedServer(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(2)...)
	settle(t, store, dead)
	accept(t, store, event.Split([]byte("not JSON"))...)
	s := newQueueServer(t, admin.Store{Store: store, Name: path})
	commands := [][]string{
		{"status"}, {"list"}, {"list", "--state", "dead", "--limit", "1"}, {"list", "--before", "3", "--json"}, {"list", "--field", "comments", "--since", "1h"},
		{"list", "--state", "delivered"}, {"show", "1"}, {"show", "3", "--json"}, {"show", "9"},
	}
	var running []ran
	for _, args := range commands {
		running = append(running, s.run(t, args...))
	}
	closeQueue(t, store)
	age := regexp.MustCompile(`\(\d+s ago\) *`)
	for i, args := range commands {
		want := running[i]
		want.out = strings.Replace(want.out, " accepted\n", " stopped\n", 1)
		got := runQueue(t, append(args, "--file", path)...)
		got.out, want.out = age.ReplaceAllString(got.out, ""), age.ReplaceAllString(want.out, "")
		if got != want {
			t.Errorf("%v: %+v\nof the running Caddy: %+v", args, got, want)
		}
	}
	if got := decode[queueStatus](t, runQueue(t, "status", "--file", path, "--json")); !got.Stopped || len(got.Stores) != 1 || got.Stores[0].Dead != 2 || got.Stores[0].Pending != 1 {
		t.Errorf("status: %+v", got)
	}
	runQueue(t, "list", "--file", path, "--limit", "0").want(t, 1, "", "--limit must be")
	runQueue(t, "show", "--file", path).want(t, 1, "", "which event?")
}

// TestQueueStatusThatIsUnknownIsNoSuccess has a store that cannot count.
func TestQueueStatusThatIsUnknownIsNoSuccess(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	closed, _ := newQueue(t)
	closeQueue(t, closed)
	s := newQueueServer(t, admin.Store{Store: store, Name: "a.db"}, admin.Store{Store: closed, Name: "b.db"})
	s.run(t, "status").want(t, 3, "a.db", "the store b.db cannot say what it holds: the store is closed")
	r := s.run(t, "status", "--json")
	if got := decode[queueStatus](t, r); r.status != 3 || got.Error == nil || len(got.Stores) != 2 {
		t.Errorf("%+v", r)
	}
}

// TestQueueCheckOfADestroyedHead has a file that was a queue, and of which nothing
// can be opened.
func TestQueueCheckOfADestroyedHead(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(100)...)
	closeQueue(t, store)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{
		"zeros":     slices.Concat(make([]byte, 8192), whole[8192:]),
		"garbage":   slices.Concat(bytes.Repeat([]byte("garbage!"), 1024), whole[8192:]),
		"truncated": whole[:8192],
		"one page":  whole[:4096],
	} {
		damaged, same := writeFile(t, "queue.db", string(content)), writeFile(t, "queue.db", string(content))
		r := runQueue(t, "check", "--file", damaged, "--json")
		if got := decode[checkedQueue](t, r); r.status != 3 || got.Sound || got.Damage == "" || got.Error == nil || strings.Count(r.errors, "damaged: ") != 1 {
			t.Errorf("%s: %+v", what, r)
		}
		runQueue(t, "list", "--file", same).want(t, 2, "", "damaged")
		if got, err := os.ReadFile(damaged); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: the file was changed, %v", what, err)
		}
	}
}

// TestQueueDiscardAll forgets all that is selected, and what it cannot is no
// success.
func TestQueueDiscardAll(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1200)...)
	settle(t, store, dead)
	accept(t, store, commented(2)...)
	lease(t, store)
	accept(t, store, commented(3)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	s.run(t, "discard", "1", "--all").want(t, 1, "", "either ids or --all")
	s.run(t, "discard", "1", "--dry-run").want(t, 1, "", "--dry-run is for --all")
	s.run(t, "discard", "--field", "comments").want(t, 1, "", "which events?")
	s.run(t, "discard", "--all", "--state", "").want(t, 1, "", "--state is empty")
	s.run(t, "discard", "--all", "--consumer", "").want(t, 1, "", "--consumer is empty: give it a value, or leave it out")
	s.run(t, "discard", "--all", "--state", "lost").want(t, 1, "", "lost")
	s.run(t, "discard", "--all", "--dry-run").want(t, 0, "1200 events would be forgotten.", "")
	s.run(t, "discard", "--all", "--field", "messages").want(t, 0, "0 events forgotten.", "")
	r := s.run(t, "discard", "--all", "--account", "17841400000000001", "--since", "24h", "--json")
	if got := decode[discardedEvents](t, r); r.status != 0 || got.Count != 1200 || got.InFlight != 0 || got.DryRun || got.IDs != nil {
		t.Errorf("%+v", r)
	}
	s.run(t, "discard", "--all", "--state", "pending", "--dry-run").want(t, 0, "3 events would be forgotten.\nBeing delivered just now, so kept: 2 events.", "")
	s.run(t, "discard", "--all", "--state", "pending").want(t, 3, "3 events forgotten.\nBeing delivered just now, so kept: 2 events.", "2 events could not be forgotten")
	if stats, err := statsOf(t, store); err != nil || stats.Pending != 2 || stats.Dead != 0 {
		t.Errorf("left are %+v, %v", stats, err)
	}

	accept(t, store, commented(1001)...)
	s.stores[0].Store = &faulty{Store: store, list: func(calls int) error {
		if calls == 2 {
			return errors.New("page 7 is lost")
		}
		return nil
	}}
	s.run(t, "discard", "--all", "--state", "pending").want(t, 3, "1000 events forgotten.", "after 1000 events were forgotten: ")
}

// TestQueueWithAdminOffIsExplained tells what works instead.
func TestQueueWithAdminOffIsExplained(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"Caddyfile": "{\n\tadmin off\n}\n", "config.json": `{"admin":{"disabled":true}}`} {
		config := writeFile(t, name, content)
		for _, args := range [][]string{{"status"}, {"list"}, {"retry", "1", "2"}, {"discard", "--all"}, {"export"}} {
			r := runQueue(t, append(args, "--config", config)...)
			r.want(t, 2, "", "the admin endpoint is turned off ('admin off') in "+config)
			if !strings.Contains(r.errors, "--file") || strings.Contains(r.errors, "no Caddy answers") {
				t.Errorf("%v: %s", args, r.errors)
			}
		}
		ledger := writeFile(t, "ledger", "instagram/1/comments/2\n")
		if code, _, errs := simulateIn(t, "", "--ledger", ledger, "--verify-queue", "--config", config); code != 2 || !strings.Contains(errs, "turned off") {
			t.Errorf("simulate: exit code %d, %s", code, errs)
		}
		// An address that is given counts more.
		runQueue(t, "status", "--config", config, "--address", nobody(t)).want(t, 2, "", "no Caddy answers at ")
	}
}

// TestQueueShowUsesNoWordOfTheInside says "conversation" as the documentation does.
func TestQueueShowUsesNoWordOfTheInside(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := &queueEvent{Event: &admin.Event{ID: 1, State: queue.Pending, Lane: queue.Retried, Field: "messages", Order: "17841400000000001/9"}}
	e.text(&console{out: &out})
	if text := out.String(); !strings.Contains(text, "conversation  17841400000000001/9\n") || strings.Contains(text, "lane") || strings.Contains(text, "order") {
		t.Errorf("printed\n%s", text)
	}
}

// TestQueueStatusFitsTheTerminal leaves out what is least important where there is no
// room for it.
func TestQueueStatusFitsTheTerminal(t *testing.T) {
	t.Parallel()
	counts := &admin.Counts{Pending: 12, PendingBytes: 1 << 20, Dead: 3, Delivered: 400, Oldest: time.Now().Add(-4 * time.Hour)}
	path := "/var/lib/caddy/.local/share/caddy/instagram/"
	s := &queueStatus{Stores: []admin.Status{{Store: path + "a.db", Counts: counts}, {Store: path + "b.db", Counts: counts}}}
	for width, want := range map[int][]string{
		0:   {path + "a.db  ", "1.0 MiB", " UTC (4h ago)", "NEW DELIVERIES\n"},
		80:  {"…/a.db  ", "1.0 MiB", "  4h ago  ", "NEW DELIVERIES\n"},
		60:  {"…/a.db  12 ", "  4h ago  ", "NEW DELIVERIES\n"},
		300: {"…/b.db  ", "1.0 MiB"},
	} {
		var out, notes bytes.Buffer
		s.text(&console{out: &out, err: &notes, width: width})
		for _, text := range want {
			if !strings.Contains(out.String(), text) {
				t.Errorf("no %q on %d columns:\n%s", text, width, &out)
			}
		}
		if hidden := notes.String() != ""; hidden != (width == 60) || strings.Count(out.String(), "\n") != 3 {
			t.Errorf("%d columns:\n%s%s", width, &out, &notes)
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSpace(line))); width > 0 && n > width {
				t.Errorf("a line has %d columns of %d:\n%s", n, width, &out)
			}
		}
	}
}
