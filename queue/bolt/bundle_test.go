package bolt

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestBundles forgets events of all sizes in any order: those that are left must
// stay whole, and a bundle must go with the last of its own.
func TestBundles(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var records []queue.Record
	for i, n := range rand.Perm(300) {
		r := record(fmt.Sprint(i), "")
		switch {
		case n < 3:
			r.Body = []byte(strings.Repeat("x", 1<<20+n))
		case n < 40:
			r.Body = []byte(strings.Repeat("x", rand.IntN(2*maxBundleBytes)))
		}
		records = append(records, r)
	}
	accept(t, s, records[:100]...)
	accept(t, s, records[100:]...)
	bundles := func() (n int) {
		if err := s.use(func(tx *txn) error {
			c := tx.events.Cursor()
			for key, value := c.First(); key != nil; key, value = c.Next() {
				count, rest := 0, value
				for ; len(rest) > 0; count++ {
					_, rest = cutRecord(rest)
				}
				if count == 0 || count > maxBundle || count > 1 && len(value) > maxBundleBytes {
					t.Errorf("the bundle %d has %d records in %d bytes", lastID(key), count, len(value))
				}
				n++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := bundles(); n < 300/maxBundle || n > 150 {
		t.Errorf("300 events are in %d bundles", n)
	}
	left := due(t, s, 300)
	rand.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	for len(left) > 0 {
		n := min(len(left), 1+rand.IntN(60))
		settleAll(t, s, left[:n], queue.Outcome{State: queue.Delivered})
		left = left[n:]
		if _, err := s.Expire(ctx, queue.Retention{Dedupe: time.Hour}); err != nil {
			t.Fatal(err)
		}
		check(t, s)
		found, err := s.List(ctx, queue.Filter{Bodies: true})
		if err != nil || len(found) != len(left) {
			t.Fatalf("%d events are there, want %d: %v", len(found), len(left), err)
		}
		for _, e := range found {
			var i int
			if _, err := fmt.Sscan(e.Identity, &i); err != nil || string(e.Body) != string(records[i].Body) {
				t.Errorf("the event %q has a body of %d bytes, want %d: %v", e.Identity, len(e.Body), len(records[i].Body), err)
			}
		}
	}
	if n := bundles(); n != 0 {
		t.Errorf("%d bundles are left", n)
	}
}
