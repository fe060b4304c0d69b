package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestCheckWhileADroppedConsumerIsRemoved looks at a file in which some of what a dropped
// consumer had is gone, and some is not.
func TestCheckWhileADroppedConsumerIsRemoved(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var records []queue.Record
	for i := range 2 * step {
		records = append(records, record(fmt.Sprint(i), "one"))
	}
	accept(t, s, records...)
	if err := s.Join(ctx, []queue.Consumer{{Name: "other", FromKept: true}}); err != nil {
		t.Fatal(err)
	}
	for _, e := range due(t, s, 2) {
		settle(t, s, e, queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour)})
	}
	for range 3 {
		due(t, s, 2) // holds more of them
	}
	if err := s.Drop(ctx, queue.DefaultConsumer); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if more, err = s.Expire(ctx, queue.Retention{}); err != nil {
			t.Fatal(err)
		}
		check(t, s)
	}
}
