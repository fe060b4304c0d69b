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
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format("Jan 2 2006 15:04:05.000000000")
	}
	return fmt.Sprintf("%d %q not unique %t conversation %q account %s field %s url %s origin %s secret %s signature %x body %s (%d of %d), "+
		"%s lane %q in flight %t, accepted %s requeued %s due %s settled %s, %d attempts since %s, last error %q",
		e.ID, e.Identity, e.NotUnique, e.Conversation, e.Account, e.Field, e.URL, e.Origin, e.Secret, e.Signature,
		bodyOf(e), len(e.Body), e.Size,
		e.State, e.Lane, e.InFlight, at(e.Accepted), at(e.Requeued), at(e.Due), at(e.Settled),
		e.Attempts, at(e.Tried), e.LastError)
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
