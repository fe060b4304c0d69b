package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// describe returns all that there is to know of an event: two events are the same
// if their descriptions are.
func describe(e *queue.Event) string {
	return fmt.Sprintf("%d for %s %q not unique %t conversation %q account %s field %s url %s origin %s secret %s signature %x body %s (%d of %d), "+
		"%s lane %q in flight %t, accepted %s requeued %s due %s settled %s, %d attempts since %s, last error %q%s",
		e.ID, e.Consumer, e.Identity, e.NotUnique, e.Conversation, e.Account, e.Field, e.URL, e.Origin, e.Secret, e.Signature,
		bodyOf(e), len(e.Body), e.Size,
		e.State, e.Lane, e.InFlight, at(e.Accepted), at(e.Requeued), at(e.Due), at(e.Settled),
		e.Attempts, at(e.Tried), e.LastError, describeHistory(e))
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
