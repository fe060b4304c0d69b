package command

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

func TestColoursOnlyWhereTheyAreShown(t *testing.T) {
	t.Parallel()
	d := compare([]string{"messages"}, []string{"comments"})
	for _, colour := range []bool{true, false} {
		var out bytes.Buffer
		d.text(&console{out: &out, colour: colour})
		if got := strings.Contains(out.String(), "\x1b["); got != colour {
			t.Errorf("colour %t: %q", colour, out.String())
		}
		if !strings.Contains(out.String(), "  + comments") || !strings.Contains(out.String(), "  - messages") {
			t.Errorf("colour %t: %q", colour, out.String())
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if terminal(w) || terminal(new(bytes.Buffer)) {
		t.Error("a pipe or a buffer is taken for a terminal")
	}
}

func TestTablesObeyNobody(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	(&console{out: &out}).table([]string{"gar\x1b[31mdens", "a\tb\nc"})
	if strings.ContainsAny(out.String(), "\x1b\t") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("printed %q", out.String())
	}
}

func TestNotesObeyNobody(t *testing.T) {
	t.Parallel()
	ledger := writeFile(t, "ledger", "instagram/1/comments/2\n")
	_, _, errs := simulateIn(t, "", "--ledger", ledger, "--verify", "none\x1b[31m\u009b\nred")
	if strings.ContainsAny(errs, "\x1b\u009b") || strings.Count(errs, "\n") != 2 || !strings.Contains(errs, "red: ") {
		t.Errorf("printed %q", errs)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"comment":          "comments",
		"Messages":         "messages",
		"COMMENTS":         "comments",
		"mesages":          "messages",
		"mention":          "mentions",
		"seen":             "messaging_seen",
		"story_insight":    "story_insights",
		"message_reaction": "message_reactions",
		"message_edits":    "message_edit",
		"live":             "live_comments",
	} {
		if got := graph.InstagramLogin.NearestFields(name); !strings.HasPrefix(got, want+" and ") {
			t.Errorf("the nearest to %s are %s, want %s first", name, got, want)
		}
	}
	if got := graph.InstagramLogin.NearestFields(strings.Repeat("x", 1<<20)); strings.Count(got, " and ") != 1 {
		t.Errorf("got %s", got)
	}
}

func TestFieldsAreTakenAndRefused(t *testing.T) {
	t.Parallel()
	for _, f := range event.Fields() {
		if err := validateFields(new(console), graph.InstagramLogin, []string{f.Name}); (err != nil) != f.Refused {
			t.Errorf("%s: %v", f.Name, err)
		}
		for name := range strings.SplitSeq(graph.InstagramLogin.NearestFields(f.Name), " and ") {
			if other, known := event.FieldByName(name); !known || other.Refused {
				t.Errorf("%s is proposed for %s", name, f.Name)
			}
		}
	}
}

// full is a standard output on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestResultsThatCannotBePrinted(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	closeQueue(t, store)
	p := newReceiver(t)
	ledger := writeFile(t, "ledger", "instagram/1/comments/2\n")
	events := writeFile(t, "events", `{"object":"instagram","entry":[{"id":"1","changes":[{"field":"comments","value":{"id":"2"}}]}]}`+"\n")
	for _, args := range [][]string{
		{"fields"},
		{"fields", "--json"},
		{"sign", "--app-secret", "made-up"},
		{"simulate", "--ledger", ledger, "--verify", events},
		{"simulate", "--to", p.URL, "--app-secret", receiverSecret, "--json"},
		{"queue", "check", "--file", path},
	} {
		r := runCommandTo(t.Context(), full{}, "", args...)
		r.want(t, exitOutput, "", "Error: the result cannot be printed: no space left")
	}
	// What went wrong before matters more.
	runCommandTo(t.Context(), full{}, "", "simulate", "--ledger", ledger, "--verify", writeFile(t, "none", "")).
		want(t, 1, "", "Error: 1 of 1 acknowledged events are missing")
}

func TestFindingsThatCannotBePrinted(t *testing.T) {
	t.Setenv("IG_ACCESS_TOKEN", "") // nobody's is to be asked about
	p := newReceiver(t)
	runCommandTo(t.Context(), full{}, "", "check", p.URL, "--no-deliveries").want(t, 1, "", "cannot be printed")
}
