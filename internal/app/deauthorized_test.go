package app

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestRemovalsAreNotedOneByOne sends the same request again and again, another one of the same
// user, and more than are remembered.
func TestRemovalsAreNotedOneByOne(t *testing.T) {
	t.Parallel()
	r, now := new(removals), time.Now()
	a, b, c := removal{"a", 1}, removal{"a", 2}, removal{"c", 1}
	for i := range 1000 {
		if idle, full := r.add(a, now); idle != (i == 0) || full {
			t.Fatalf("%d: idle %t, full %t", i, idle, full)
		}
	}
	if idle, full := r.add(b, now); idle || full {
		t.Errorf("another request: idle %t, full %t", idle, full)
	}
	var noted []removal
	r.each(func(one removal) {
		if noted = append(noted, one); one == b {
			r.add(c, now) // it comes while others are noted
		}
	})
	if want := []removal{a, b, c}; !slices.Equal(noted, want) {
		t.Errorf("noted %v, want %v", noted, want)
	}
	if idle, _ := r.add(a, now.Add(sameRemoval)); !idle {
		t.Error("the same request is not noted again later")
	}
	full := false
	for i := 0; i < maxRemovals && !full; i++ {
		_, full = r.add(removal{strconv.Itoa(i), 1}, now.Add(sameRemoval))
	}
	if !full || len(r.waiting) > maxRemovals || len(r.known) > maxRemovals {
		t.Errorf("full: %t, with %d and %d requests", full, len(r.waiting), len(r.known))
	}
}
