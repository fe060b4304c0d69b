package postgres

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestRoom has a limit hold though what waits is counted rarely: nothing that is accepted waits
// for a count, unless it would be refused for one that is old.
func TestRoom(t *testing.T) {
	t.Parallel()
	o := newShared(t, time.Minute)
	o.stats = time.Hour
	s := openShared(t, o)
	n := 0
	send := func() error {
		n++
		_, err := s.Accept(t.Context(), []queue.Record{record(fmt.Sprint(n), "")}, queue.Admission{MaxEvents: 4})
		return err
	}
	mustSend := func(when string) {
		t.Helper()
		if err := send(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	mustSend("at first")
	s.backlog.counting.Lock()
	mustSend("while somebody counts")
	s.backlog.forget()
	mustSend("while somebody counts, and the last count is old")
	s.backlog.counting.Unlock()
	mustSend("up to the limit")
	if err := s.countBacklog(t.Context()); err != nil { // else one that is under way ends later
		t.Fatal(err)
	}
	for range 2 {
		e, _ := lease(t, s)
		if err := s.Settle(t.Context(), e, queue.Outcome{State: queue.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(); !errors.Is(err, queue.ErrFull) {
		t.Errorf("above the limit, as it was counted a moment ago: %v", err)
	}
	s.backlog.forget()
	mustSend("as there is room by now")
}

// TestBacklogIsWhatWaits counts the same as the statistics do, however it waits, and keeps both
// when old events are forgotten, none of which waits.
func TestBacklogIsWhatWaits(t *testing.T) {
	t.Parallel()
	o := newShared(t, time.Minute)
	o.stats = time.Hour
	s := openShared(t, o)
	for i, outcome := range []*queue.Outcome{
		{State: queue.Delivered}, {State: queue.Dead}, {State: queue.Pending, Due: time.Now().Add(time.Hour)}, {Released: true}, nil,
	} {
		for _, conversation := range []string{"", "1"} {
			conversation += map[bool]string{true: fmt.Sprint(i)}[conversation != ""]
			accept(t, s, record(fmt.Sprint(i, conversation, "first"), conversation), record(fmt.Sprint(i, conversation, "second"), conversation))
		}
		for range 2 {
			if e, _ := lease(t, s); outcome != nil {
				if err := s.Settle(t.Context(), e, *outcome); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	has, _, err := s.backlogOf(t.Context(), []string{queue.DefaultConsumer})
	if want := queue.StatsOf(stats, queue.DefaultConsumer); err != nil || has[0].events != want.Pending || has[0].bytes != want.PendingBytes ||
		want.Pending != 16 || want.InFlight == 0 {
		t.Errorf("%+v wait, %v, want %+v", has, err, want)
	}
	counted := s.counted.until
	if _, err := s.Expire(t.Context(), queue.Retention{}); err != nil {
		t.Fatal(err)
	}
	if _, old, _ := s.backlog.of(nil); old || !s.counted.until.Equal(counted) {
		t.Error("it is counted again, though nothing that waits was forgotten")
	}
}

// TestBacklogThatChangesWhileItIsCounted counts it again at once: what was dropped or sent
// again meanwhile is not in what was counted.
func TestBacklogThatChangesWhileItIsCounted(t *testing.T) {
	t.Parallel()
	o := newShared(t, time.Minute)
	o.stats = time.Hour
	s := openShared(t, o)
	accept(t, s, record("a", ""))
	blocker, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(t.Context(), s.sql("LOCK {work} IN ACCESS EXCLUSIVE MODE")); err != nil {
		t.Fatal(err)
	}
	counted := make(chan error)
	go func() {
		s.backlog.counting.Lock()
		defer s.backlog.counting.Unlock()
		counted <- s.countBacklogLocked(t.Context())
	}()
	for begun := false; !begun; {
		s.backlog.mu.Lock()
		begun = s.backlog.added != nil
		s.backlog.mu.Unlock()
	}
	s.changed()
	s.recount()
	if err := blocker.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-counted; err != nil {
		t.Fatal(err)
	}
	if _, old, known := s.backlog.of(nil); !old || !known {
		t.Errorf("old %t, known %t", old, known)
	}
}
