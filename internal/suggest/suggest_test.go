package suggest

import (
	"slices"
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := Distance(test.a, test.b); got != test.want {
			t.Errorf("from %q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"comments", "live_comments", "messages", "feed"}
	for name, want := range map[string]string{"coments": "comments", "comment": "comments", "mesages": "messages", "feeds": "feed", "live": "live_comments"} {
		if got := Nearest(name, names, 2); len(got) != 2 || got[0] != want {
			t.Errorf("the nearest to %s are %v, want %s first", name, got, want)
		}
	}
	if got := Nearest(strings.Repeat("x", 1<<20), names, 9); len(got) != 4 || slices.Contains(got, "") {
		t.Errorf("got %v", got)
	}
}
