package bolt

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// bubble runs a test with a clock of its own, and a store in it.
func bubble(t *testing.T, test func(*testing.T, *Store)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Check(ctx); err != nil && !errors.Is(err, queue.ErrClosed) {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, s)
	})
}

// identities returns those of events.
func identities(events []*queue.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Identity)
	}
	return all
}

func expectDue(t *testing.T, s *Store, limit int, want ...string) []*queue.Event {
	t.Helper()
	events := due(t, s, limit)
	if fmt.Sprint(identities(events)) != fmt.Sprint(want) {
		t.Fatalf("leased %q, want %q", identities(events), want)
	}
	return events
}

// TestLeaseWaitsForTheDisk looks for due events while the sync of a commit is under
// way. Should that fail, the event is taken back, and the next one gets its id.
func TestLeaseWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("first", "1"))
	a := newAcceptance([]queue.Record{record("second", "2")}, queue.Admission{})
	s.state.Lock()
	frame, err := s.apply([]*operation{{apply: a.apply}}, time.Now())
	s.state.Unlock()
	if frame == nil || err != nil {
		t.Fatalf("changed %d bytes: %v", len(frame), err)
	}
	if got := identities(due(t, s, 10)); !slices.Equal(got, []string{"first"}) {
		t.Errorf("leased %v", got)
	}
}
