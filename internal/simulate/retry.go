package simulate

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// firstDelay is the time between the second attempt and the third. Meta
// publishes only that retries get rarer.
const firstDelay = 15 * time.Second

// delay returns the time to wait after a number of failed attempts: none after
// the first, and twice as long each time from the second on.
func delay(failed int) time.Duration {
	if failed < 2 {
		return 0
	}
	return min(firstDelay<<min(failed-2, 20), meta.RetryFor)
}

// clock is a clock that may run faster than time does.
type clock struct {
	start time.Time
	speed float64
}

func newClock(speed float64) *clock {
	if speed <= 0 {
		speed = 1
	}
	return &clock{time.Now(), speed}
}

func (c *clock) now() time.Time {
	return c.start.Add(time.Duration(float64(time.Since(c.start)) * c.speed))
}

// sleep waits until the clock shows at least the given time, or ctx ends.
func (c *clock) sleep(ctx context.Context, until time.Time) error {
	for {
		left := until.Sub(c.now())
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(time.Duration(math.Ceil(float64(left) / c.speed)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// subscriptions knows which accounts' messages fail, and since when.
type subscriptions struct {
	mu       sync.Mutex
	accounts map[string]*subscription
	notify   func(Notice)
}

type subscription struct {
	failing time.Time // since when; zero: it does not
	alerted bool
	ended   bool
}

// Notice is something that Meta would tell the app's developers, or do to them.
type Notice struct {
	// Account is the id of the account whose messages fail.
	Account string

	// Failing is for how long they have, on the clock of the retries.
	Failing time.Duration

	// Unsubscribed tells that they are sent no more. If it is false, the notice
	// is the alert that comes before.
	Unsubscribed bool
}

// failed records that messages of the accounts were not acknowledged.
func (s *subscriptions) failed(accounts []string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range accounts {
		a := s.accounts[name]
		if a == nil {
			a = new(subscription)
			s.accounts[name] = a
		}
		if a.failing.IsZero() {
			a.failing = now
		}
	}
	s.check(accounts, now)
}

// succeeded records that messages of the accounts were acknowledged.
func (s *subscriptions) succeeded(accounts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range accounts {
		if a := s.accounts[name]; a != nil && !a.ended {
			*a = subscription{}
		}
	}
}

// ended reports whether all of the accounts are unsubscribed by now. If not, next
// is when the next alert or the next end of a subscription is due; it is zero if no
// account fails.
func (s *subscriptions) ended(accounts []string, now time.Time) (all bool, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check(accounts, now)
	all = len(accounts) > 0
	for _, name := range accounts {
		a := s.accounts[name]
		if a != nil && a.ended {
			continue
		}
		all = false
		if a == nil || a.failing.IsZero() {
			continue
		}
		due := a.failing.Add(meta.UnsubscribeAfter)
		if !a.alerted {
			due = a.failing.Add(meta.AlertAfter)
		}
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return all, next
}

// check gives the notices that are due. The caller holds the lock.
func (s *subscriptions) check(accounts []string, now time.Time) {
	for _, name := range accounts {
		a := s.accounts[name]
		if a == nil || a.failing.IsZero() || a.ended {
			continue
		}
		failing := now.Sub(a.failing)
		if failing >= meta.AlertAfter && !a.alerted {
			a.alerted = true
			s.notify(Notice{Account: name, Failing: failing})
		}
		if failing >= meta.UnsubscribeAfter {
			a.ended = true
			s.notify(Notice{Account: name, Failing: failing, Unsubscribed: true})
		}
	}
}
