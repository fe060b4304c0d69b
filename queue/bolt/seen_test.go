package bolt

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
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
				must(t, known.table.Delete(number(r.number)))
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
			"load":  func(*rapid.T) { must(t, known.load()) },
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
