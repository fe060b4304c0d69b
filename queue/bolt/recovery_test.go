package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// names returns the identities of what a queue holds.
func names(t *testing.T, s *Store) (all []string) {
	t.Helper()
	events, err := s.List(ctx, queue.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		all = append(all, e.Identity)
	}
	slices.Sort(all)
	return all
}

// crash copies the files of a queue as they are while it is open.
func crash(t *testing.T, s *Store, to string) {
	t.Helper()
	for _, suffix := range []string{"", journalSuffix} {
		if err := copyFile(s.path+suffix, to+suffix); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestoredFile puts an older file beside the journal of a crash: the journal
// must not be taken for that of the file, now or later.
func TestRestoredFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, backup, crashed := filepath.Join(dir, "queue.db"), filepath.Join(dir, "backup.db"), filepath.Join(dir, "crashed.db")
	s := openStore(t, path)
	accept(t, s, record("base", ""))
	check(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(path, backup); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	for _, identity := range []string{"1", "2", "3"} {
		accept(t, s, record(identity, ""))
		check(t, s) // ends a generation
	}
	accept(t, s, record("4", ""))
	crash(t, s, crashed)

	if err := copyFile(backup, crashed); err != nil {
		t.Fatal(err)
	}
	if _, err := open(crashed); err == nil || !strings.Contains(err.Error(), "restored that from a backup, remove this file") || !strings.Contains(err.Error(), crashed+journalSuffix) {
		t.Fatalf("opened an older file beside a newer journal: %v", err)
	}
	if err := os.Remove(crashed + journalSuffix); err != nil {
		t.Fatal(err)
	}
	restored := openStore(t, crashed)
	if got := names(t, restored); !slices.Equal(got, []string{"base"}) {
		t.Errorf("the restored queue holds %q", got)
	}
}

// TestOpeningSecuresTheJournal looks at what an opening leaves of a journal: the
// frames that count, and nothing behind them.
func TestOpeningSecuresTheJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, filepath.Join(dir, "queue.db"))
	accept(t, s, record("a", ""))
	accept(t, s, record("b", ""))
	end := s.journal.end
	crashed := filepath.Join(dir, "crashed.db")
	crash(t, s, crashed)
	f, err := os.OpenFile(crashed+journalSuffix, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(make([]byte, 100_000))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, crashed)
	if size, err := again.journal.size(); size != end || err != nil {
		t.Errorf("the journal has %d bytes, %v, want %d", size, err, end)
	}
	if got := names(t, again); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the queue holds %q", got)
	}
}

// TestNotDurableIsNotListed lists while a commit is under way: should that fail,
// another event gets the id.
func TestNotDurableIsNotListed(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", "1"))
	a := newAcceptance([]queue.Record{record("b", "2")}, queue.Admission{})
	s.state.Lock()
	_, err := s.apply([]*operation{{apply: a.apply}}, time.Now())
	s.state.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"a"}) {
		t.Errorf("listed %q", got)
	}
}

// TestDamageStopsNobodyElse settles an event whose follower is damaged.
func TestDamageStopsNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", "1"), record("b", "1"), record("c", "2"))
	check(t, s)
	if err := s.use(func(tx *txn) error {
		tx.remove(&tx.live, 2)
		tx.live.changed = false
		return tx.live.Put(tx.id(tx.live.block), number(tx.live.members))
	}); err != nil {
		t.Fatal(err)
	}
	s.state.Lock()
	s.txn.changes++ // the damage is to be in the file
	s.state.Unlock()
	if err := s.sync(ctx); err != nil {
		t.Fatal(err)
	}
	e := due(t, s, 1)[0]
	if err := s.Settle(ctx, e, queue.Outcome{State: queue.Delivered}); !errors.Is(err, errDamaged) {
		t.Errorf("settled beside a damaged event: %v", err)
	}
	accept(t, s, record("d", ""))
	if got := identities(due(t, s, 10)); !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("leased %q", got)
	}
}
