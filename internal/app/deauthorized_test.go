package app

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestRemovalsAreNotedOneByOne sends the same user again and again, and more users than are
// remembered.
func TestRemovalsAreNotedOneByOne(t *testing.T) {
	t.Parallel()
	r, now := new(removals), time.Now()
	for i := range 1000 {
		if idle, full := r.add("a", now); idle != (i == 0) || full {
			t.Fatalf("%d: idle %t, full %t", i, idle, full)
		}
	}
	if idle, full := r.add("b", now); idle || full {
		t.Errorf("another user: idle %t, full %t", idle, full)
	}
	var noted []string
	r.each(func(user string) {
		if noted = append(noted, user); user == "b" {
			r.add("c", now) // it comes while others are noted
		}
	})
	if want := []string{"a", "b", "c"}; !slices.Equal(noted, want) {
		t.Errorf("noted %q, want %q", noted, want)
	}
	if idle, _ := r.add("a", now.Add(sameRemoval)); !idle {
		t.Error("the same user is not noted again later")
	}
	full := false
	for i := 0; i < maxRemovals && !full; i++ {
		_, full = r.add(strconv.Itoa(i), now.Add(sameRemoval))
	}
	if !full || len(r.waiting) > maxRemovals || len(r.known) > maxRemovals {
		t.Errorf("full: %t, with %d and %d users", full, len(r.waiting), len(r.known))
	}
}
