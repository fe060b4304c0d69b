package command

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// acknowledged writes a ledger with the identities of events and these others.
func acknowledged(t *testing.T, events []event.Event, others ...string) (path string) {
	t.Helper()
	for i := range events {
		others = append(others, events[i].ID())
	}
	return writeFile(t, "acknowledged.txt", strings.Join(others, "\n")+"\n")
}

// TestSimulateVerifiesAQueue looks for more events than one page has, in each
// state.
func TestSimulateVerifiesAQueue(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	events := commented(2*admin.MaxLimit + 1)
	accept(t, store, events[:1]...)
	settle(t, store, dead)
	accept(t, store, events[1:3]...)
	settle(t, store, queue.Outcome{State: queue.Delivered})
	accept(t, store, events[3:]...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "events"})
	verify := func(ledger string, args ...string) ran {
		return runCommand(t.Context(), "", append([]string{"simulate", "--ledger", ledger, "--verify-queue", "--address", s.Listener.Addr().String()}, args...)...)
	}
	const lists = "GET /instagram/queue/events?"

	verify(acknowledged(t, events)).want(t, 0, "verified      2001 of 2001 events found, 0 missing\n", "")
	if n := s.asked(lists); n != 4 {
		t.Errorf("asked for %d pages", n)
	}
	verify(acknowledged(t, events[:5])).want(t, 0, "verified      5 of 5 events found, 0 missing (1996 others)\n", "")

	lost := acknowledged(t, events, "instagram/1/comments/2")
	verify(lost).want(t, 1, "missing       \"instagram/1/comments/2\"\n", "Error: 1 of 2002 acknowledged events are missing\n")
	r := decode[struct {
		OK       bool
		Ledger   int
		Verified struct {
			Acknowledged, Found, Others, Repeated, Malformed int
			Missing                                          []string
		}
		Error problem
	}](t, verify(lost, "--json"))
	if r.OK || r.Ledger != 2002 || r.Verified.Found != 2001 || len(r.Verified.Missing) != 1 || r.Error.Message == "" {
		t.Errorf("%+v", r)
	}

	// Another store of the same Caddy.
	other, _ := newQueue(t)
	s.stores = append(s.stores, admin.Store{Store: other, Name: "other"})
	verify(acknowledged(t, events), "--store", "events").want(t, 0, "0 missing", "")
	verify(acknowledged(t, events[:1]), "--store", "other").want(t, 1, "1 missing", "1 of 1 acknowledged events are missing")
	verify(acknowledged(t, events)).want(t, 2, "ledger        2001 events\n", "verifying the ledger: ")
}

// TestSimulateVerifiesEventsThatAreNotUnique has a queue give them identities of their
// own, as instagram_queue does.
func TestSimulateVerifiesEventsThatAreNotUnique(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	events := event.Split([]byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1767225600,"changes":[{"field":"comments"}]}]}`))
	var records []queue.Record
	for range 2 {
		records = append(records, queue.Record{
			Identity: events[0].ID() + "/" + rand.Text(), NotUnique: true, Field: "comments", Body: events[0].Envelope(),
			URL: "https://hooks.example.com/webhooks", Secret: "instagram",
		})
	}
	if _, err := store.Accept(t.Context(), records, queue.Admission{}); err != nil {
		t.Fatal(err)
	}
	s := newQueueServer(t, admin.Store{Store: store, Name: "events"})
	runCommand(t.Context(), "", "simulate", "--ledger", acknowledged(t, events), "--verify-queue", "--address", s.Listener.Addr().String()).
		want(t, 0, "verified      1 of 1 events found, 0 missing (1 repeated)\n", "")
}

func TestIdentityOf(t *testing.T) {
	t.Parallel()
	const id = "instagram/17841400000000001/comments/17900000000000001"
	for queued, want := range map[string]string{
		id:                                      id,
		id + "/" + rand.Text():                  id,
		id + "/" + rand.Text()[1:]:              "",
		id + "/" + strings.ToLower(rand.Text()): "",
		id + "/sha256:" + rand.Text():           "",
		rand.Text():                             "",
		"":                                      "",
		id + "/" + rand.Text() + "/" + id:       "",
		id + "/" + strings.Repeat("A", 25) + "10": "",
	} {
		if want == "" {
			want = queued
		}
		if got := identityOf(queued); got != want {
			t.Errorf("%q becomes %q", queued, got)
		}
	}
}

func TestSimulateCannotAskTheQueue(t *testing.T) {
	t.Parallel()
	ledger := writeFile(t, "acknowledged.txt", "a\n")
	s := newQueueServer(t)
	for address, want := range map[string]string{
		nobody(t):                  "no Caddy answers at ",
		s.Listener.Addr().String(): "Error: verifying the ledger: ",
	} {
		r := runCommand(t.Context(), "", "simulate", "--ledger", ledger, "--verify-queue", "--address", address)
		r.want(t, 2, "ledger        1 events\n", want)
		if strings.Count(r.errors, "\n") != 1 {
			t.Errorf("more than an error: %s", r.errors)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	runCommand(t.Context(), "", "simulate", "--ledger", none, "--verify-queue").want(t, 2, "", fmt.Sprintf("Error: opening the ledger: open %s: ", none))
}
