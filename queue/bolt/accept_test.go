package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestDedupeWithinASecret accepts the same event of two apps, in one delivery and
// after another: neither is a duplicate of the other.
func TestDedupeWithinASecret(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		one, two, three := record("a", ""), record("a", ""), record("a", "")
		two.Secret, three.Secret = "two", "three"
		for _, tc := range []struct {
			records []queue.Record
			want    []bool
		}{
			{[]queue.Record{one}, nil},
			{[]queue.Record{one, two, two}, []bool{true, false, true}},
			{[]queue.Record{two, three, one}, []bool{true, false, true}},
		} {
			if got, err := s.Accept(ctx, tc.records, queue.Admission{Dedupe: time.Hour}); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("duplicates %v, want %v: %v", got, tc.want, err)
			}
		}
	})
}

// TestDedupeWindow accepts an event again just before and just after the end of
// the window, wherever its identity is kept, and with expiry all the time.
func TestDedupeWindow(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		const window = time.Hour
		acceptOne := func(identity string, want bool) {
			t.Helper()
			d, err := s.Accept(ctx, []queue.Record{record(identity, "")}, queue.Admission{Dedupe: window})
			if err != nil || (d != nil) != want {
				t.Fatalf("%s accepted: duplicates %v, want %t: %v", identity, d, want, err)
			}
		}
		accepted := make(map[string]time.Time)
		const step = 7 * time.Minute
		for n := range 60 {
			for identity, at := range accepted {
				if age := time.Since(at); age > window-step && age < window {
					time.Sleep(window - age - time.Microsecond)
					acceptOne(identity, true)
					time.Sleep(time.Microsecond)
					acceptOne(identity, false)
					delete(accepted, identity)
				}
			}
			identity := fmt.Sprint(n)
			acceptOne(identity, false)
			acceptOne(identity, true)
			accepted[identity] = time.Now()
			time.Sleep(step)
			for more := true; more; {
				var err error
				if more, err = s.Expire(ctx, queue.Retention{Dedupe: window}); err != nil {
					t.Fatal(err)
				}
			}
			kept := 0
			if err := s.do(ctx, &operation{apply: func(t *txn) error {
				kept = t.seen.count()
				return nil
			}}); err != nil || kept > 3*maxRun {
				t.Fatalf("there are %d identities: %v", kept, err)
			}
		}
	})
}

// TestRefusedDelivery refuses a delivery as a whole, with its identities.
func TestRefusedDelivery(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", "1"), record("b", "1"))
	records := []queue.Record{record("a", "1"), record("c", "1"), record("d", "")}
	bytes := int64(len(records[0].Body))
	for _, refusal := range []struct {
		ctx       context.Context
		admission queue.Admission
		want      error
	}{
		{ctx, queue.Admission{Dedupe: time.Hour, MaxEvents: 3}, queue.ErrFull},
		{ctx, queue.Admission{Dedupe: time.Hour, MaxBytes: 4*bytes - 1}, queue.ErrFull},
		{cancelled(), queue.Admission{Dedupe: time.Hour}, context.Canceled},
	} {
		if d, err := s.Accept(refusal.ctx, records, refusal.admission); d != nil || !errors.Is(err, refusal.want) {
			t.Errorf("accepted with %+v: %v, %v", refusal.admission, d, err)
		}
	}
	// What is a duplicate needs no room.
	if d, err := s.Accept(ctx, records[:1], queue.Admission{Dedupe: time.Hour, MaxEvents: 1, MaxBytes: 1}); fmt.Sprint(d) != "[true]" || err != nil {
		t.Errorf("a duplicate: %v, %v", d, err)
	}
	d, err := s.Accept(ctx, records, queue.Admission{Dedupe: time.Hour, MaxEvents: 4, MaxBytes: 4 * bytes})
	if fmt.Sprint(d) != "[true false false]" || err != nil {
		t.Errorf("accepted: %v, %v", d, err)
	}
	check(t, s)
}

func cancelled() context.Context {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return ended
}

// TestManyAtATime has many that accept, lease and settle at the same time, with
// attempts that fail and are cut short. Each event must be delivered once, held by
// one at a time, in the order of its key.
func TestManyAtATime(t *testing.T) {
	t.Parallel()
	const senders, workers, events, keys = 16, 32, 30, 5
	s := newStore(t)
	key := func(e *queue.Event) string { return cmp.Or(e.Order, "alone "+e.Identity) }
	var mu sync.Mutex
	held := make(map[string]string) // order → identity
	delivered := make(map[string]int)
	last := make(map[string]int) // sender and order → number
	done, end := context.WithCancel(ctx)
	defer end()

	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for n := range events {
				r := record(fmt.Sprintf("%d %d", sender, n), fmt.Sprint(n%keys))
				if n%10 == 9 {
					r.Order = ""
				}
				// Sent twice, as Meta does now and then.
				for again := range 2 {
					if d := accept(t, s, r); (d != nil) != (again == 1) {
						t.Errorf("%s accepted: duplicates %v", r.Identity, d)
					}
				}
			}
		})
	}
	for worker := range workers {
		all.Go(func() {
			for turn := worker; ; turn++ {
				leased, err := s.Lease(done, 1+worker%3)
				if done.Err() != nil {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, e := range leased {
					if other, busy := held[key(e)]; busy {
						t.Errorf("%s is leased while %s is", e.Identity, other)
					}
					held[key(e)] = e.Identity
				}
				mu.Unlock()
				for i, e := range leased {
					o := queue.Outcome{State: queue.Delivered}
					switch (turn + i) % 5 {
					case 0:
						o = queue.Outcome{Released: true}
					case 1:
						o = queue.Outcome{State: queue.Pending, Error: "500"}
					}
					mu.Lock()
					delete(held, key(e))
					if o.State == queue.Delivered {
						var sender, number int
						if _, err := fmt.Sscan(e.Identity, &sender, &number); err != nil {
							t.Error(err)
						}
						line := fmt.Sprint(sender, "/", key(e))
						if before, ok := last[line]; ok && before >= number {
							t.Errorf("%s is delivered after number %d", e.Identity, before)
						}
						last[line] = number
						delivered[e.Identity]++
					}
					mu.Unlock()
					if err := s.Settle(ctx, e, o); err != nil {
						t.Error(err)
					}
				}
				mu.Lock()
				if len(delivered) == senders*events {
					end()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for identity, n := range delivered {
		if n != 1 {
			t.Errorf("%s was delivered %d times", identity, n)
		}
	}
	check(t, s)
	stats, err := s.Stats(ctx)
	if want := (queue.Stats{Delivered: senders * events}); err != nil || stats != want {
		t.Errorf("stats %+v, want %+v: %v", stats, want, err)
	}
}
