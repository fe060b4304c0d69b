package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// describe returns all that there is to know of an event: two events are the same
// if their descriptions are.
func describe(e *queue.Event) string {
	return fmt.Sprintf("%d for %s %q not unique %t conversation %q account %s field %s url %s origin %s secret %s signature %x body %s (%d of %d), "+
		"%s lane %q in flight %t, accepted %s requeued %s due %s settled %s, %d attempts since %s, last error %q, erased %s %q%s",
		e.ID, e.Consumer, e.Identity, e.NotUnique, e.Conversation, e.Account, e.Field, e.URL, e.Origin, e.Secret, e.Signature,
		bodyOf(e), len(e.Body), e.Size,
		e.State, e.Lane, e.InFlight, at(e.Accepted), at(e.Requeued), at(e.Due), at(e.Settled),
		e.Attempts, at(e.Tried), e.LastError, at(e.ErasedAt), e.ErasedBecause, describeHistory(e))
}

// describeHistory describes the attempts of an event.
func describeHistory(e *queue.Event) string {
	var all strings.Builder
	for _, a := range e.History {
		fmt.Fprintf(&all, "; at %s after %s: %d %q %q", at(a.Ended), a.Took, a.Status, a.Error, a.Answer)
	}
	return all.String()
}

func at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("Jan 2 2006 15:04:05.000000000")
}

func withoutHistory(e *queue.Event) *queue.Event {
	without := *e
	without.History = nil
	return &without
}

// bodyOf returns a body as text. Those of the machine end with many zeros.
func bodyOf(e *queue.Event) string {
	return fmt.Sprintf("%q", strings.TrimRight(string(e.Body), "\x00"))
}

// describeAll describes events, a line each.
func describeAll[E *queue.Event | *entry](events []E) string {
	if len(events) == 0 {
		return "none"
	}
	var all strings.Builder
	for _, e := range events {
		switch e := any(e).(type) {
		case *queue.Event:
			all.WriteString("\n" + describe(e))
		case *entry:
			all.WriteString("\n" + describe(&e.Event))
		}
	}
	return all.String()
}

// identities returns those of events.
func identities(events []*queue.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Identity)
	}
	return all
}

// everything selects all that there is of all events.
var everything = queue.Filter{Bodies: true, OldestFirst: true, History: true}

// outline describes what the store holds without ids and times, the oldest first.
func (s *store) outline() string {
	s.t.Helper()
	holds, err := outlineOf(s.t.Context(), s.Store)
	if err != nil {
		s.t.Fatalf("outlining: %v", err)
	}
	return holds
}

// outlineOf describes what a store holds without ids and times, the oldest first.
func outlineOf(ctx context.Context, s queue.Store) (string, error) {
	events, err := s.List(ctx, everything)
	if err != nil {
		return "", err
	}
	stats, err := s.Stats(ctx)
	return outline(pointers(events), stats), err
}

func pointers(events []queue.Event) (all []*queue.Event) {
	for i := range events {
		all = append(all, &events[i])
	}
	return all
}

// outline describes events and consumers without ids and times.
func outline(events []*queue.Event, stats []queue.Stats) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s: %s/%s %d %s %s %d %q, %d attempts, erased %t",
			e.Consumer, e.Identity, e.Conversation, len(e.Body), e.State, e.Lane, e.Attempts, e.LastError, len(e.History), !e.ErasedAt.IsZero()))
	}
	for _, c := range stats {
		all = append(all, fmt.Sprintf("%s: paused %t, %d pending of %d bytes, %d dead, %d delivered",
			c.Consumer, c.Paused, c.Pending, c.PendingBytes, c.Dead, c.Delivered))
	}
	return strings.Join(all, "\n")
}
