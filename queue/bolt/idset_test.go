package bolt

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestIDSet compares a set with a map, and walks through it both ways from
// anywhere.
func TestIDSet(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	id := rapid.OneOf(rapid.Uint64Range(1, 5*blockSize), rapid.Uint64Range(1<<40-3, 1<<40+3))
	rapid.Check(t, func(t *rapid.T) {
		s.state.Lock()
		defer s.state.Unlock()
		tx := s.txn
		tx.begin(time.Now(), 0, nil)
		set, want := &tx.live, make(map[uint64]bool)
		defer func() {
			for id := range want {
				tx.remove(set, id)
			}
			tx.save(set)
		}()
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for n, from := rapid.IntRange(1, 2*blockSize).Draw(t, "n"), id.Draw(t, "id"); n > 0; n-- {
					tx.add(set, from+uint64(n))
					want[from+uint64(n)] = true
				}
			},
			"remove": func(t *rapid.T) {
				for n, from := rapid.IntRange(1, 2*blockSize).Draw(t, "n"), id.Draw(t, "id"); n > 0; n-- {
					if id := from + uint64(n); tx.remove(set, id) != want[id] {
						t.Fatalf("%d was in the set: want %t", id, want[id])
					}
					delete(want, from+uint64(n))
				}
			},
			"has": func(t *rapid.T) {
				if id := id.Draw(t, "id"); tx.has(set, id) != want[id] {
					t.Fatalf("%d is in the set: want %t", id, want[id])
				}
			},
			"walk": func(t *rapid.T) {
				tx.save(set)
				ids := slices.Sorted(maps.Keys(want))
				from := rapid.OneOf(rapid.Just(uint64(0)), id).Draw(t, "from")
				up := rapid.Bool().Draw(t, "up")
				if !up {
					slices.Reverse(ids)
				}
				ids = slices.DeleteFunc(ids, func(id uint64) bool { return from != 0 && id != from && (id > from) != up })
				var got []uint64
				for p := set.position(up, from); p.key != nil; p.advance() {
					got = append(got, p.id())
				}
				if !slices.Equal(got, ids) {
					t.Fatalf("from %d, up %t: %v, want %v", from, up, got, ids)
				}
			},
		})
	})
}
