package bolt

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestSeen has identities seen, some of them again, over many runs, and asks for
// all after each, also when the runs were read anew.
func TestSeen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	rapid.Check(t, func(t *rapid.T) {
		s.state.Lock()
		defer s.state.Unlock()
		known := s.txn.seen
		defer func() {
			for _, r := range known.runs {
				must(t, known.bucket.DeleteBucket(number(r.number)))
			}
			known.runs = nil
			clear(known.recent)
		}()
		want := make(map[identity]uint64)
		now := uint64(0)
		draw := rapid.Custom(func(t *rapid.T) identity { return newIdentity(fmt.Sprint(rapid.IntRange(0, 300).Draw(t, "identity"))) })
		t.Repeat(map[string]func(*rapid.T){
			"see": func(t *rapid.T) {
				for range rapid.IntRange(1, maxRun).Draw(t, "n") {
					now++
					id := draw.Draw(t, "identity")
					known.recent[id], want[id] = now, now
				}
			},
			"store": func(*rapid.T) { must(t, known.store()) },
			"load": func(t *rapid.T) {
				if damaged, err := known.load(); damaged > 0 || err != nil {
					t.Fatal(damaged, err)
				}
			},
			"": func(t *rapid.T) {
				for id := range want {
					if got := known.at(id); got != want[id] {
						t.Fatalf("%x was seen at %d, want %d", id, got, want[id])
					}
				}
				if id := newIdentity("never"); known.at(id) != 0 {
					t.Fatal("one was seen that was not")
				}
				small := 0
				for i, r := range known.runs {
					if i > 0 && r.count+known.runs[i-1].count <= maxRun && known.runs[i-1].count < 2*r.count {
						t.Fatalf("two runs could be one: %+v", known.runs)
					}
					if r.count <= maxRun/2 {
						small++
					}
				}
				if small > len(known.runs)/2+4 {
					t.Fatalf("there are %d runs, %d of them small", len(known.runs), small)
				}
			},
		})
	})
}

// TestExpireWithClockAhead has an identity seen while the clock was far ahead:
// others must be forgotten all the same.
func TestExpireWithClockAhead(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		s.state.Lock()
		s.txn.seen.recent[newIdentity("ahead")] = micros(time.Now().Add(365 * 24 * time.Hour))
		s.txn.changes++
		s.state.Unlock()
		check(t, s)
		for n := range 300 {
			accept(t, s, record(fmt.Sprint(n), ""))
			time.Sleep(time.Hour)
			if _, err := s.Expire(ctx, queue.Retention{Dedupe: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		if kept := s.txn.seen.count(); kept > 3*maxRun {
			t.Errorf("%d identities are kept in %d runs", kept, len(s.txn.seen.runs))
		}
	})
}

// TestDamagedRuns has runs damaged: events are delivered all the same, those in
// other runs are recognised, and a check tells.
func TestDamagedRuns(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{"short": make([]byte, 11), "empty": make([]byte, 12), "missing": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "queue.db")
			s := openStore(t, path)
			accept(t, s, record("a", ""))
			check(t, s)
			s.state.Lock()
			known := s.txn.seen
			b := known.bucket.Bucket(number(known.runs[0].number))
			err := b.Delete(keyRun)
			if value != nil {
				err = b.Put(keyRun, value)
			}
			s.txn.changes++
			s.state.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			accept(t, s, record("b", "")) // with what is known in memory
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again := openStore(t, path)
			for _, identity := range []string{"c", "b", "a"} {
				if _, err := again.Accept(ctx, []queue.Record{record(identity, "")}, queue.Admission{Dedupe: time.Hour}); err != nil {
					t.Errorf("accepting %s: %v", identity, err)
				}
			}
			expectDue(t, again, 9, "a", "b", "c", "a")
			if err := again.Check(ctx); err == nil {
				t.Error("the check finds nothing")
			}
		})
	}
}

// TestFilter measures how often a filter errs.
func TestFilter(t *testing.T) {
	t.Parallel()
	f := newFilter(1000)
	for i := range 1000 {
		f.add(newIdentity(fmt.Sprint(i)))
	}
	errs := 0
	for i := range 20000 {
		switch has := f.has(newIdentity(fmt.Sprint(i))); {
		case i < 1000 && !has:
			t.Fatalf("%d is missing", i)
		case i >= 1000 && has:
			errs++
		}
	}
	if errs > 19000/100 {
		t.Errorf("it errs %d times", errs)
	}
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
