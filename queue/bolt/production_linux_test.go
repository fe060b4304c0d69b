package bolt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// productionVariable is set in the process in which TestProduction runs with the
// limits of production: all that changes for long stays in memory there.
const productionVariable = "QUEUE_PRODUCTION"

// TestProduction runs tests with the limits of production in a process of its own.
func TestProduction(t *testing.T) {
	if os.Getenv(productionVariable) == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^TestProduction$", "-test.v", "-test.timeout=9m")
		cmd.Env = append(os.Environ(), productionVariable+"=true", "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	t.Run("lists", func(t *testing.T) { t.Parallel(); listsWithEmptyPages(t) })
	t.Run("huge delivery", func(t *testing.T) { t.Parallel(); hugeDelivery(t) })
	t.Run("full", func(t *testing.T) { t.Parallel(); notFullForEver(t) })
	t.Run("full of small ones", func(t *testing.T) { t.Parallel(); settlesOnFullDisk(t) })
	t.Run("runs", func(t *testing.T) { t.Parallel(); checkpointsOfRuns(t) })
}

// listsWithEmptyPages lists events while deletions have left pages of the open
// transaction empty: some in the middle, then all.
func listsWithEmptyPages(t *testing.T) {
	const total = 500
	s := newStore(t)
	for i := range total / 50 {
		accept(t, s, batch(fmt.Sprint(i), 50)...)
	}
	check(t, s) // writes pages
	expect := func(state queue.State, want int) {
		t.Helper()
		for _, limit := range []int{0, 7} {
			events, err := s.List(ctx, queue.Filter{State: state, Limit: limit})
			if limit > 0 {
				want = min(want, limit)
			}
			if err != nil || len(events) != want {
				t.Errorf("listed %d events that are %q, limit %d: %v, want %d", len(events), state, limit, err, want)
			}
		}
	}
	all := due(t, s, total)
	settleAll(t, s, all[100:300], queue.Outcome{State: queue.Delivered})
	expect(queue.Pending, total-200)
	expect("", total)
	settleAll(t, s, all[:100], queue.Outcome{State: queue.Delivered})
	expect(queue.Pending, total-300)
	settleAll(t, s, all[300:], queue.Outcome{State: queue.Delivered})
	expect(queue.Pending, 0)
	expect(queue.Delivered, total)
	if err := s.Discard(ctx, all[77].ID); err != nil {
		t.Error(err)
	}
	expect("", total-1)
	check(t, s)
}

// hugeDelivery accepts as many events at a time as there may be, and shows that
// this burdens neither the next commits nor the disk for long.
func hugeDelivery(t *testing.T) {
	s := newStore(t)
	begin := time.Now()
	accept(t, s, batch("a", 100_000)...)
	took := time.Since(begin)
	begin = time.Now()
	accept(t, s, record("b", "")) // after a checkpoint
	if next := time.Since(begin); next > 5*took+time.Second {
		t.Errorf("accepting 100000 events took %s, the next one %s", took, next)
	}
	if size, err := s.journal.size(); size > 2*maxJournal || err != nil {
		t.Errorf("the journal has %d bytes, %v", size, err)
	}
	check(t, s)
}

// settlesOnFullDisk fills a disk with small events: all of them can be delivered,
// though they are kept.
func settlesOnFullDisk(t *testing.T) {
	dir, _ := smallDisk(t, 24<<20, 1)
	s := openStore(t, filepath.Join(dir, "queue.db"))
	for i := 0; ; i++ {
		var small []queue.Record
		for j := range 100 {
			small = append(small, record(fmt.Sprint(i, j), fmt.Sprint(i, j)))
		}
		_, err := s.Accept(ctx, small, queue.Admission{Dedupe: time.Hour, MinFree: 3 << 20})
		if errors.Is(err, queue.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	stats, err := s.Stats(ctx)
	if err != nil || stats.Pending < 10_000 {
		t.Fatalf("%d events fit: %v", stats.Pending, err)
	}
	for left := int(stats.Pending); left > 0; {
		events := due(t, s, min(left, 1000))
		settleAll(t, s, events, queue.Outcome{State: queue.Delivered})
		left -= len(events)
	}
	check(t, s)
}

// checkpointsOfRuns makes many checkpoints, and shows that none writes more than
// is set aside for it, and most of them much less.
func checkpointsOfRuns(t *testing.T) {
	s := newStore(t)
	const rounds, each = 150, 1300
	var all int64
	for i := range rounds {
		s.state.Lock()
		for j := range each {
			s.txn.seen.recent[newIdentity(fmt.Sprint(i, j))] = 1
		}
		s.txn.changes++
		tx, limit := s.txn.tx, pagesFor(each*lengthSeen)+s.txn.seen.room()
		s.state.Unlock()
		if err := s.sync(ctx); err != nil {
			t.Fatal(err)
		}
		stats := tx.Stats()
		wrote := stats.GetPageAlloc()
		if wrote > limit {
			t.Errorf("a checkpoint wrote %d bytes, more than %d", wrote, limit)
		}
		all += wrote
	}
	if all/rounds > 300<<10 {
		t.Errorf("checkpoints wrote %d bytes on average", all/rounds)
	}
	check(t, s)
}

// notFullForEver fills a disk, and delivers and forgets all of it: then there is
// room again.
func notFullForEver(t *testing.T) {
	dir, _ := smallDisk(t, 32<<20, 1)
	s := openStore(t, filepath.Join(dir, "queue.db"))
	large := func(n int) []queue.Record {
		r := record(fmt.Sprint(n), fmt.Sprint(n))
		r.Body = make([]byte, 100_000)
		return []queue.Record{r}
	}
	admission := queue.Admission{Dedupe: time.Hour, MinFree: 2 << 20}
	n := 0
	for ; ; n++ {
		if _, err := s.Accept(ctx, large(n), admission); errors.Is(err, queue.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for events := due(t, s, 1000); len(events) > 0; events = due(t, s, 1000) {
		settleAll(t, s, events, queue.Outcome{State: queue.Delivered})
	}
	for more := true; more; {
		var err error
		if more, err = s.Expire(ctx, queue.Retention{Dedupe: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for begin := time.Now(); time.Since(begin) < time.Minute; <-time.After(pause / 10) {
		if _, err = s.Accept(ctx, large(n), admission); err == nil {
			return
		}
	}
	t.Errorf("an empty queue is full: %v", err)
}
