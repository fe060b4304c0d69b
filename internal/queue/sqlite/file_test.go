package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// crash copies the files of a queue as they are while it is open.
func crash(t *testing.T, s *Store, to string) {
	t.Helper()
	for _, suffix := range []string{"", walSuffix} {
		if err := copyFile(s.path+suffix, to+suffix); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopyWithoutLog opens a copy of the file without its write-ahead log.
func TestCopyWithoutLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, filepath.Join(dir, "queue.db"))
	accept(t, s, record("a", ""))
	copied := filepath.Join(dir, "copy.db")
	if err := copyFile(s.path, copied); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(copied, zap.NewNop); !errors.Is(err, ErrUnclean) || !strings.Contains(err.Error(), copied+walSuffix) {
		t.Fatalf("opened without the log: %v", err)
	}
	again, err := OpenWith(copied, zap.NewNop, Options{AcceptLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	check(t, again)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	openStore(t, copied) // it was closed in order
}

// TestRestoredFile puts an older file beside the write-ahead log of a crash: the log must
// not be taken for that of the file.
func TestRestoredFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, closed, open, crashed := filepath.Join(dir, "queue.db"), filepath.Join(dir, "closed.db"), filepath.Join(dir, "open.db"), filepath.Join(dir, "crashed.db")
	s := openStore(t, path)
	accept(t, s, record("base", ""))
	crash(t, s, open)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(path, closed); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	accept(t, s, record("more", ""))
	for _, backup := range []string{closed, open} {
		crash(t, s, crashed)
		if err := copyFile(backup, crashed); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(crashed, zap.NewNop); err == nil || !strings.Contains(err.Error(), "remove this file") || !strings.Contains(err.Error(), crashed+walSuffix) {
			t.Fatalf("opened %s beside a newer log: %v", backup, err)
		}
	}
}

// TestLogThatCannotBeRead opens what a crash has left while the disk fails: nobody is told
// to remove the log.
func TestLogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", ""))
	path := filepath.Join(t.TempDir(), "queue.db")
	for _, suffix := range []string{"", walSuffix} {
		if err := copyFile(s.path+suffix, path+suffix); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(path+shmSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, zap.NewNop); err == nil || strings.Contains(err.Error(), "remove") {
		t.Errorf("opened: %v", err)
	}
	if err := os.Remove(path + shmSuffix); err != nil {
		t.Fatal(err)
	}
	if stats, err := statsOf(openStore(t, path)); err != nil || stats.Pending != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestCheckpointHalfway opens a queue that is left by a crash in a checkpoint, or by one for
// which the disk was too full: the file begins with its newest page, and ends too early.
func TestCheckpointHalfway(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	before, err := size(s.path)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, s, batch("a", 1000)...)
	if err := s.checkpointNow(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	for _, suffix := range []string{"", walSuffix} {
		if err := copyFile(s.path+suffix, path+suffix); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, before); err != nil {
		t.Fatal(err)
	}
	crashed := openStore(t, path)
	if stats, err := statsOf(crashed); err != nil || stats.Pending != 1000 {
		t.Errorf("%+v, %v", stats, err)
	}
	check(t, crashed)
}

// TestNoQueue opens files that are no queues, or of another version.
func TestNoQueue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		make    func(t *testing.T, path string)
		want    string
		damaged bool
	}{
		"empty":             {func(t *testing.T, path string) { write(t, path, nil) }, "it has 0 bytes", true},
		"text":              {func(t *testing.T, path string) { write(t, path, bytes.Repeat([]byte("text "), 2000)) }, "not a database", true},
		"directory":         {func(t *testing.T, path string) { _ = os.Mkdir(path, 0o700) }, "it is a directory", false},
		"another program's": {func(t *testing.T, path string) { script1(t, path, "PRAGMA application_id = 1") }, "that of another program", true},
		"too new": {func(t *testing.T, path string) { script1(t, path, "PRAGMA user_version = 9") },
			"has version 9 of the layout, this program knows versions up to 2", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "queue.db")
			tc.make(t, path)
			_, err := Open(path, zap.NewNop)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) || errors.Is(err, ErrDamaged) != tc.damaged {
				t.Errorf("opened: %v, want %q, damaged %t", err, tc.want, tc.damaged)
			}
		})
	}
}

// TestPath has characters in it that mean something in the name by which SQLite opens a file.
func TestPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a queue+b&mode=ro#%20é.db")
	s := openStore(t, path)
	accept(t, s, record("a", ""))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := openStore(t, path).List(ctx, queue.Filter{}); len(found) != 1 || err != nil {
		t.Errorf("found %d events in %s: %v", len(found), path, err)
	}
}

// TestOpenTwice opens a file that is in use.
func TestOpenTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "queue.db")
		s := openStore(t, path)
		if _, err := Open(path, zap.NewNop); err == nil || !strings.Contains(err.Error(), "the queue "+path+" is in use by another process") {
			t.Errorf("opened twice: %v", err)
		}
		accept(t, s, record("a", ""))
	})
}

// TestOpenWithoutLock has a directory where the lock is to be: nobody holds that.
func TestOpenWithoutLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := os.MkdirAll(filepath.Join(path+lockSuffix, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, zap.NewNop); err == nil || strings.Contains(err.Error(), "another process") {
		t.Errorf("opened: %v", err)
	}
}

// TestUnfinishedCopiesAreRemoved finds what crashes have left: it holds what people wrote.
func TestUnfinishedCopiesAreRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	for _, suffix := range []string{newSuffix, compactSuffix, migratingSuffix} {
		write(t, path+suffix, []byte("text"))
		write(t, path+suffix+"-journal", []byte("text"))
	}
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"queue.db", "queue.db" + lockSuffix, "queue.db" + reserveSuffix}; !slices.Equal(names, want) {
		t.Errorf("there are %q, want %q", names, want)
	}
}

// TestCompactWhileRead is refused while another program reads. It leaves no copy behind, and
// the queue goes on.
func TestCompactWhileRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", ""))
	reader, err := connect(s.path, readWrite, readerCache)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.script("BEGIN; SELECT count(*) FROM event"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Compact(ctx); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("compacted: %v", err)
	}
	if _, err := os.Stat(s.path + compactSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy: %v", err)
	}
	accept(t, s, record("b", ""))
	if err := errors.Join(reader.script("COMMIT"), reader.close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Compact(ctx); err != nil {
		t.Error(err)
	}
	check(t, s)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// script1 makes a queue and changes it in a way that the store would not.
func script1(t *testing.T, path, sql string) {
	t.Helper()
	s, err := Open(path, zap.NewNop)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := connect(path, readWrite, readerCache)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.script(sql), db.close()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFinds contradictions that SQLite does not know of.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	for want, sql := range map[string]string{
		"the counts of default are":             "UPDATE consumer SET pending = 9",
		"a status has no event":                 "DELETE FROM event WHERE id = 1",
		"an event has no delivery":              "DELETE FROM delivery",
		"nobody has an event":                   "UPDATE consumer SET mark = 9",
		"a chain has two heads":                 "UPDATE status SET held = 0",
		"an event is held by nothing":           "UPDATE status SET held = 1",
		"a status contradicts itself":           "UPDATE status SET settled = 1",
		"an event has a number that is to come": "UPDATE meta SET value = 1 WHERE key = 'last'",
		"an event may overtake others":          "UPDATE status SET held = (event <> 2)",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			accept(t, s, record("a", "1"), record("b", "1"), record("c", "1"), record("d", "2"))
			for _, e := range due(t, s, 9) {
				settle(t, s, e, queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour)})
			}
			accept(t, s, record("e", "3"))
			check(t, s)
			if err := s.do(ctx, &operation{apply: func(t *txn) error { return t.db.script(sql) }}); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(ctx); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
				t.Errorf("the check says: %v", err)
			}
		})
	}
}

// TestDamagedPages destroys a page at a time. All that a store does then ends with an error
// or not, but it ends; and the check finds the damage.
func TestDamagedPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.db")
	s := openStore(t, whole)
	for n := range 30 {
		accept(t, s, record(fmt.Sprint("a", n), "1"), record(fmt.Sprint("b", n), ""))
	}
	for _, e := range due(t, s, 20) {
		settle(t, s, e, queue.Outcome{State: queue.Dead})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for page := 1; page < len(content)/pageSize; page++ { // the first one is the schema: see TestNoQueue
		path := filepath.Join(dir, fmt.Sprintf("damaged%d.db", page))
		damaged := bytes.Clone(content)
		for i := range pageSize {
			damaged[page*pageSize+i] ^= 0xa5
		}
		write(t, path, damaged)
		s, err := Open(path, zap.NewNop)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("page %d: %v", page, err)
			}
			continue
		}
		_, err1 := s.Accept(ctx, []queue.Record{record("new", "1")}, queue.Admission{Dedupe: time.Hour})
		_, err2 := s.List(ctx, queue.Filter{Bodies: true})
		_, err3 := s.Requeue(ctx, queue.Filter{State: queue.Dead}, 0)
		_, err4 := s.Expire(ctx, queue.Retention{})
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("page %d: %v", page, err)
			}
		}
		if err := s.Check(ctx); !errors.Is(err, ErrDamaged) {
			t.Errorf("page %d: the check says %v", page, err)
		}
		_ = s.Close()
	}
}

// TestMigrations brings a file of an older layout to a newer one.
func TestMigrations(t *testing.T) {
	t.Parallel()
	if len(migrations) != layoutVersion-1 {
		t.Errorf("there are %d migrations to version %d", len(migrations), layoutVersion)
	}
}

// TestVersion makes sure that SQLite is new enough: before 3.51.3, a write-ahead log that
// begins anew could lose commits.
func TestVersion(t *testing.T) {
	t.Parallel()
	version, err := newStore(t).db.text("SELECT sqlite_version()")
	var major, minor, patch int
	if _, scanned := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil || scanned != nil || minor*1000+patch < 51003 || major != 3 {
		t.Errorf("SQLite %s: %v, %v", version, err, scanned)
	}
}

// TestBackup copies a queue while it is used.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", "1"), record("b", "1"))
	leased := due(t, s, 1)
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := s.Backup(ctx, path); err != nil {
		t.Fatal(err)
	}
	settle(t, s, leased[0], queue.Outcome{State: queue.Delivered})
	if err := s.Backup(ctx, path); err == nil {
		t.Error("a backup was overwritten")
	}
	restored := openStore(t, path)
	check(t, restored)
	if events := due(t, restored, 9); len(events) != 1 || events[0].Identity != "a" {
		t.Errorf("the backup leases %v", events)
	}
}

// TestCollisions accepts events whose identities have the same key.
func TestCollisions(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var records []queue.Record
	for n := range 5 {
		records = append(records, record(fmt.Sprint(n), ""))
	}
	acceptSame := func(which ...int) []bool {
		t.Helper()
		var chosen []queue.Record
		for _, n := range which {
			chosen = append(chosen, records[n])
		}
		a := newAcceptance(chosen, queue.Admission{Dedupe: time.Hour})
		for i := range a.identities {
			a.identities[i].key = 7
		}
		if err := s.do(ctx, &operation{apply: a.apply}); err != nil {
			t.Fatal(err)
		}
		return a.duplicates
	}
	for _, tc := range []struct {
		which []int
		want  string
	}{{[]int{0}, "[]"}, {[]int{1, 2}, "[]"}, {[]int{0}, "[true]"}, {[]int{3, 2, 1}, "[false true true]"}, {[]int{4, 3}, "[false true]"}} {
		if got := fmt.Sprint(acceptSame(tc.which...)); got != tc.want {
			t.Errorf("accepted %v: duplicates %s, want %s", tc.which, got, tc.want)
		}
	}
	check(t, s)
}

// TestPlans looks at how SQLite finds what a store asks for all the time: by a key or an
// index, never by reading or sorting a table.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, tc := range []struct{ sql, want string }{
		{selectHeads[laneLive], "USING INDEX status_head (consumer=? AND lane=?)"},
		{selectHeads[laneReplayed], "USING INDEX status_head (consumer=? AND lane=?)"},
		{firstOf, "USING INDEX status_chain (consumer=? AND chain=?)"},
		{isBehind, "status_chain (consumer=? AND chain=? AND position<?)"},
		{selectSettled, "status_settled (consumer=? AND state=? AND settled>? AND settled<?)"},
		{selectFresh, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{selectEvent, "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"},
		{oldestKnown, "status_pending (consumer=?)"},
		{firstFresh, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{selectHad, "PRIMARY KEY (consumer=?)"},
		{selectNew, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{dropOldAttempt, "PRIMARY KEY (consumer=? AND event=?"},
	} {
		var plan []string
		if err := s.db.each(func(row *sqlite3.Stmt) bool {
			plan = append(plan, row.ColumnText(3))
			return true
		}, "EXPLAIN QUERY PLAN "+tc.sql); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, tc.want) || strings.Contains(text, "SCAN") || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s\nplan:\n%s\nwant %s", tc.sql, text, tc.want)
		}
	}
}

// TestPreparedOnce runs queries for one consumer after the other: SQLite must not compile
// them again each time.
func TestPreparedOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, sql := range []string{selectHeads[laneLive], selectFresh, selectEvent, firstOf, selectStanding, selectNeed, dropOldAttempt} {
		for consumer := range 3 {
			if err := s.db.each(func(*sqlite3.Stmt) bool { return true }, sql, consumer); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.db.stmts[sql].Status(sqlite3.STMTSTATUS_REPREPARE, false); n != 0 {
			t.Errorf("%d times compiled again: %s", n, sql)
		}
	}
}
