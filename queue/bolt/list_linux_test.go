package bolt

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// resident returns how much of the file at path is in the memory of this process,
// in kB.
func resident(t *testing.T, path string) (kB int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(maps), path)
	_, text, there := strings.Cut(text, "\nRss:")
	if _, err := fmt.Sscan(text, &kB); err != nil || !found || !there {
		t.Fatal("the file is not mapped")
	}
	return kB
}

// TestListLeavesMemory looks for what is not there among many events.
func TestListLeavesMemory(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	large := record("", "")
	large.Body = make([]byte, 4000)
	for i := range 10 {
		var all []queue.Record
		for j := range 1000 {
			large.Identity = strconv.Itoa(1000*i + j)
			all = append(all, large)
		}
		accept(t, s, all...)
	}
	if found, err := s.List(ctx, queue.Filter{Account: "another"}); err != nil || len(found) != 0 {
		t.Errorf("found %d: %v", len(found), err)
	}
	if kB := resident(t, s.path); kB > 4000 {
		t.Errorf("%d kB of the file are in memory", kB)
	}
}
