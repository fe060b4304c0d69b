package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

const senders, workers, events, conversations = 16, 32, 30, 5

// manyAtATime has many that accept, lease and settle at the same time, with
// attempts that fail and are cut short. Each event must be delivered once, leased
// by one at a time, in the order of its conversation.
func manyAtATime(t *testing.T, s *store) {
	done, end := context.WithCancel(t.Context())
	defer end()
	l := &ledger{t: t, leased: make(map[string]string), delivered: make(map[string]int), last: make(map[string]int)}
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() { s.send(sender) })
	}
	for worker := range workers {
		all.Go(func() {
			for turn := worker; ; turn++ {
				leased, _, err := s.Lease(done, queue.DefaultConsumer, 1+worker%3)
				if done.Err() != nil {
					return
				}
				if err != nil {
					t.Error(err)
					end()
					return
				}
				l.begin(leased)
				for i, e := range leased {
					o := outcome(turn + i)
					l.end(e, o)
					if err := s.Settle(t.Context(), e, o); err != nil {
						t.Error(err)
					}
				}
				if l.complete() {
					end()
				}
			}
		})
	}
	all.Wait()
	for identity, n := range l.delivered {
		if n != 1 {
			t.Errorf("%s was delivered %d times", identity, n)
		}
	}
	s.check()
	s.expectStats(queue.Stats{Delivered: senders * events})
}

// send accepts events, each twice, as Meta does now and then.
func (s *store) send(sender int) {
	for n := range events {
		r := record(fmt.Sprintf("%d %d", sender, n), fmt.Sprint(n%conversations))
		if n%10 == 9 {
			r.Conversation = ""
		}
		for again := range 2 {
			d, err := s.Accept(s.t.Context(), []queue.Record{r}, queue.Admission{Dedupe: window})
			if err != nil || (d != nil) != (again == 1) {
				s.t.Errorf("%s accepted: duplicates %v, %v", r.Identity, d, err)
			}
		}
	}
}

// outcome returns how the nth attempt ends.
func outcome(n int) queue.Outcome {
	switch n % 5 {
	case 0:
		return queue.Outcome{Released: true}
	case 1:
		return queue.Outcome{State: queue.Pending, Attempt: queue.Attempt{Error: "500"}}
	}
	return queue.Outcome{State: queue.Delivered}
}

// ledger writes down what is leased and delivered, and finds fault with it.
type ledger struct {
	t         *testing.T
	mu        sync.Mutex
	leased    map[string]string // conversation → identity
	delivered map[string]int
	last      map[string]int // sender and conversation → number
}

func conversation(e *queue.Event) string { return cmp.Or(e.Conversation, "alone "+e.Identity) }

func (l *ledger) begin(leased []*queue.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range leased {
		if other, busy := l.leased[conversation(e)]; busy {
			l.t.Errorf("%s is leased while %s is", e.Identity, other)
		}
		l.leased[conversation(e)] = e.Identity
	}
}

func (l *ledger) end(e *queue.Event, o queue.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.leased, conversation(e))
	if o.State != queue.Delivered {
		return
	}
	var sender, number int
	if _, err := fmt.Sscan(e.Identity, &sender, &number); err != nil {
		l.t.Error(err)
	}
	chain := fmt.Sprint(sender, "/", conversation(e))
	if before, ok := l.last[chain]; ok && before >= number {
		l.t.Errorf("%s is delivered after number %d", e.Identity, before)
	}
	l.last[chain] = number
	l.delivered[e.Identity]++
}

func (l *ledger) complete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.delivered) == senders*events
}

// everythingAtOnce calls all methods at the same time: whoever holds a lock of the
// store and waits for another must not be waited for by the one who has that.
func everythingAtOnce(t *testing.T, s *store) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	// A panic ends the process, with the stacks of all.
	defer time.AfterFunc(5*time.Minute, func() { panic("the store is locked for ever") }).Stop()
	var helpers, main sync.WaitGroup
	forever := func(do func(i int) error) {
		helpers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := do(i)
				if err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrLeased) {
					t.Error(err)
					return
				}
			}
		})
	}
	for worker := range 4 {
		forever(func(i int) error {
			leased, _, err := s.Lease(ctx, queue.DefaultConsumer, 10)
			for j, e := range leased {
				o := outcome(worker + i + j)
				if o.State == queue.Delivered && j == 3 {
					o.State = queue.Dead
				}
				// What was leased is settled even at the end.
				err = errors.Join(err, s.Settle(t.Context(), e, o))
			}
			return err
		})
	}
	forever(func(i int) error { return s.comeAndGo(ctx, i) })
	forever(func(int) error { _, err := s.Stats(ctx); return err })
	forever(func(int) error { _, err := s.List(ctx, queue.Filter{Limit: 100, Bodies: true}); return err })
	forever(func(i int) error { return s.Discard(ctx, "", uint64(i%100)) })
	forever(func(int) error {
		_, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, time.Millisecond)
		return err
	})
	forever(func(int) error {
		_, err := s.Expire(ctx, queue.Retention{Delivered: time.Millisecond, Dead: time.Hour, Dedupe: window})
		return err
	})
	if m, ok := s.Store.(queue.Maintainer); ok {
		forever(func(int) error { _, _, err := m.Compact(ctx); return err })
		forever(func(int) error { return m.Check(ctx) })
	}
	for sender := range 4 {
		main.Go(func() {
			for n := range 50 {
				r := record(fmt.Sprint(sender, " ", n), strconv.Itoa(n%7))
				_, err := s.Accept(ctx, []queue.Record{r}, queue.Admission{Consumers: both, Dedupe: window})
				if errors.Is(err, queue.ErrNoConsumer) { // crm has just been dropped
					_, err = s.Accept(ctx, []queue.Record{r}, queue.Admission{Dedupe: window})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	main.Wait()
	end()
	helpers.Wait()
	if stats := s.stats(); stats.InFlight != 0 {
		t.Errorf("stats %+v when nothing is leased", stats)
	}
}

// comeAndGo has a consumer join, settle an event, be paused, and be dropped.
func (s *store) comeAndGo(ctx context.Context, n int) error {
	if err := s.Join(ctx, []queue.Consumer{{Name: "crm", FromKept: n%2 == 0}}); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	leased, _, err := s.Lease(waiting, "crm", 2)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	for i, e := range leased {
		err = errors.Join(err, s.Settle(s.t.Context(), e, outcome(n+i)))
	}
	return errors.Join(err, s.Pause(ctx, "crm", true), s.Drop(ctx, "crm"))
}

// closeDuringUse closes the store while all methods are called: they succeed, or
// say that it is closed, and what was accepted is there when it is opened again.
func closeDuringUse(t *testing.T, s *store) {
	var mu sync.Mutex
	accepted := make(map[string]bool)
	enough := make(chan struct{})
	closed := s.Store
	var users sync.WaitGroup
	use := func(do func(i int) error) {
		users.Go(func() {
			for i := 0; ; i++ {
				switch err := do(i); {
				case errors.Is(err, queue.ErrClosed):
					return
				case err != nil:
					t.Errorf("closed during use: %v", err)
					return
				}
			}
		})
	}
	ctx := t.Context()
	for sender := range 4 {
		use(func(i int) error {
			identity := fmt.Sprint(sender, " ", i)
			_, err := closed.Accept(ctx, []queue.Record{record(identity, strconv.Itoa(i%5))}, queue.Admission{Dedupe: window})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				accepted[identity] = true
				if len(accepted) == 50 {
					close(enough)
				}
			}
			return err
		})
		use(func(i int) error {
			leased, _, err := closed.Lease(ctx, queue.DefaultConsumer, 3)
			for _, e := range leased {
				err = errors.Join(err, closed.Settle(ctx, e, outcome(i)))
			}
			return err
		})
	}
	use(func(int) error { _, err := closed.Stats(ctx); return err })
	use(func(int) error { _, err := closed.List(ctx, queue.Filter{Limit: 10}); return err })
	use(func(int) error { _, err := closed.Requeue(ctx, queue.Filter{State: queue.Dead}, 0); return err })
	use(func(int) error {
		_, err := closed.Expire(ctx, queue.Retention{Delivered: time.Hour, Dead: time.Hour, Dedupe: window})
		return err
	})
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Error("fewer than 50 events were accepted within a minute")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	users.Wait()
	s.open()
	for _, e := range s.list(queue.Filter{}) {
		delete(accepted, e.Identity)
	}
	if len(accepted) > 0 {
		t.Errorf("%d events were accepted and are lost", len(accepted))
	}
}
