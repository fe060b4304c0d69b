package bolt

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestLookahead has the file get an event between the time when a delivery was
// looked up and its turn: a duplicate of that is one, and who waits for it waits.
func TestLookahead(t *testing.T) {
	t.Parallel()
	flush := func(t *testing.T, s *Store) {
		s.state.Lock()
		s.txn.flushAll = true
		s.state.Unlock()
		if err := s.sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	between := map[string]func(*testing.T, *Store){
		"compacted": func(t *testing.T, s *Store) {
			flush(t, s)
			if _, _, err := s.Compact(ctx); err != nil {
				t.Fatal(err)
			}
		},
		"begun anew": func(t *testing.T, s *Store) {
			flush(t, s)
			s.state.Lock()
			defer s.state.Unlock()
			if err := s.restore(); err != nil {
				t.Fatal(err)
			}
		},
	}
	for n := range remembered + 3 {
		between[fmt.Sprintf("%d flushes", n)] = func(t *testing.T, s *Store) {
			for range n {
				flush(t, s)
			}
		}
	}
	for name, between := range between {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			for range 20 { // so that a compacted file has lower numbers
				flush(t, s)
			}
			accept(t, s, record("a", "1"))
			a := newAcceptance([]queue.Record{record("a", "1"), record("b", "1"), record("c", "2")}, queue.Admission{Dedupe: time.Hour})
			s.lookAhead(a)
			if a.ahead.tx == 0 {
				t.Fatal("nothing was looked up")
			}
			between(t, s)
			if err := s.do(ctx, &operation{apply: a.apply}); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(a.duplicates); got != "[true false false]" {
				t.Errorf("duplicates %s", got)
			}
			expectDue(t, s, 9, "a", "c")
			check(t, s)
		})
	}
}
