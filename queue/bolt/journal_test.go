package bolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// testJournal opens a journal at path.
func testJournal(t *testing.T, path, salt string, generation uint64) *journal {
	t.Helper()
	j, err := openJournal(path, []byte(salt))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.file.Close() })
	j.begin(generation)
	return j
}

func appendFrame(t *testing.T, j *journal, content []byte) {
	t.Helper()
	if err := j.append(append(make([]byte, frameHead), content...)); err != nil {
		t.Fatal(err)
	}
}

// TestJournal writes frames and replays them after all that may have happened to
// the file.
func TestJournal(t *testing.T) {
	t.Parallel()
	first, second, third := []byte("first"), bytes.Repeat([]byte("second"), 3000), []byte("third")
	all := [][]byte{first, second, third}
	at := units(frameHead+len(first)) + units(frameHead+len(second)) // of the third
	flip := func(n int64) func(*os.File) error {
		return func(f *os.File) error {
			var b [1]byte
			_, err := f.ReadAt(b[:], n)
			b[0] ^= 1
			_, err2 := f.WriteAt(b[:], n)
			return errors.Join(err, err2)
		}
	}
	for name, test := range map[string]struct {
		change     func(*os.File) error
		salt       string
		generation uint64
		want       [][]byte
		damaged    bool
	}{
		"unchanged":              {want: all},
		"of another transaction": {generation: 8},
		"of another file":        {salt: "another"},
		"last one cut off":       {change: func(f *os.File) error { return f.Truncate(at + frameHead + 2) }, want: all[:2]},
		"head cut off":           {change: func(f *os.File) error { return f.Truncate(at + 3) }, want: all[:2]},
		"last one half written":  {change: flip(at + frameHead + 2), want: all[:2]},
		"garbage after it": {change: func(f *os.File) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{7}, 3*frameUnit), at+frameUnit)
			return err
		}, want: all},
		"one in the middle damaged": {change: flip(frameUnit + frameHead + 5000), want: all[:1], damaged: true},
		"a head damaged":            {change: flip(frameUnit + 5), want: all[:1], damaged: true},
		"first one damaged":         {change: flip(frameHead), damaged: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "queue.db.journal")
			j := testJournal(t, path, "salt", 7)
			for _, content := range all {
				appendFrame(t, j, content)
			}
			if test.change != nil {
				if err := test.change(j.file); err != nil {
					t.Fatal(err)
				}
			}
			if test.salt == "" {
				test.salt = "salt"
			}
			if test.generation == 0 {
				test.generation = 7
			}
			again := testJournal(t, path, test.salt, test.generation)
			var got [][]byte
			err := again.replay(func(content []byte) error {
				got = append(got, content)
				return nil
			})
			if !slices.EqualFunc(got, test.want, bytes.Equal) || errors.Is(err, errJournal) != test.damaged || err != nil && !test.damaged {
				t.Errorf("replayed %d frames: %v, want %d, damaged %t", len(got), err, len(test.want), test.damaged)
			}
		})
	}
}

// TestJournalCut lets a sync fail: what was written must be taken away before the
// next frame, and nothing else.
func TestJournalCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db.journal")
	j := testJournal(t, path, "salt", 7)
	appendFrame(t, j, []byte("first"))
	if err := j.cut(); err != nil {
		t.Fatal(err)
	}
	end := j.end
	appendFrame(t, j, []byte("refused"))
	j.end, j.doubt = end, true // as if its sync had failed
	if err := j.cut(); err != nil || j.doubt {
		t.Fatal(err)
	}
	appendFrame(t, j, []byte("second"))
	var got []string
	if err := testJournal(t, path, "salt", 7).replay(func(content []byte) error {
		got = append(got, string(content))
		return nil
	}); err != nil || !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("replayed %q: %v", got, err)
	}
}

// TestFrames replays frames that are cut off or changed anywhere: they must be
// refused, or do something else, and never panic.
func TestFrames(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.state.Lock()
	defer s.state.Unlock()
	a := newAcceptance(batch("a", 2), queue.Admission{Dedupe: time.Hour})
	frame, err := s.apply([]*operation{{apply: a.apply}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	content := slices.Clone(frame[frameHead:])
	for n := range content {
		if err := guarded(func() error { return s.txn.replay(content[:n]) }); err != nil && err.Error() == "" {
			t.Errorf("cut to %d bytes: an error without a text", n)
		}
		changed := slices.Clone(content)
		changed[n] ^= 0xff
		func() {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("byte %d changed: %v", n, v)
				}
			}()
			_ = s.txn.replay(changed) // most are refused
		}()
	}
}

// TestDamagedEvent has an event whose record is damaged at the head of a lane:
// others must be leased.
func TestDamagedEvent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", "1"), record("b", "2"), record("c", "3"))
	if err := s.use(func(tx *txn) error { return tx.events.Put(tx.id(1), []byte("damaged")) }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		leased := due(t, s, 10)
		if got := identities(leased); !slices.Equal(got, []string{"b", "c"}) {
			t.Fatalf("leased %q", got)
		}
		for _, e := range leased {
			settle(t, s, e, queue.Outcome{Released: true})
		}
	}
	if err := s.Check(ctx); err == nil {
		t.Error("the check finds nothing")
	}
}

// TestWithoutCheckpoint opens a queue whose changes are in the journal only, and
// again when its file has them.
func TestWithoutCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, filepath.Join(dir, "queue.db"))
	accept(t, s, record("a", "1"))
	if s.txn.changes == 0 {
		t.Fatal("there was a checkpoint")
	}
	crashed := filepath.Join(dir, "crashed.db")
	crash(t, s, crashed)
	for range 2 { // the second time after a clean end, from the file alone
		again, err := Open(crashed, zap.NewNop)
		if err != nil {
			t.Fatal(err)
		}
		if stats, err := again.Stats(ctx); err != nil || stats.Pending != 1 {
			t.Errorf("stats %+v, %v", stats, err)
		}
		check(t, again)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(crashed + journalSuffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the journal is left: %v", err)
		}
	}
}
