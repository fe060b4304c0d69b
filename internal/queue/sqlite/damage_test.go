package sqlite

import (
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestValuesThatCannotBe has damage put values into the file that no store writes: they are
// read as something, and nothing panics.
func TestValuesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"UPDATE status SET state = -1", "UPDATE status SET lane = -1", "UPDATE consumer SET id = -5", "UPDATE consumer SET id = 100",
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			accept(t, s, record("a", ""))
			settle(t, s, due(t, s, 1)[0], queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour)})
			if err := s.do(ctx, &operation{apply: func(t *txn) error { return t.db.script(sql) }}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.List(ctx, queue.Filter{}); err != nil {
				t.Error(err)
			}
			if err := s.Check(ctx); err == nil {
				t.Error("the check finds nothing")
			}
		})
	}
}
