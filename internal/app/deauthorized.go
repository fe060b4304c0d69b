package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

const (
	// deauthorizeTimeout is how long other gateways may keep the accounts to themselves.
	deauthorizeTimeout = 5 * time.Minute

	// maxRemovals is how many of them are remembered at a time.
	maxRemovals = 1024

	// sameRemoval is how long the same request is not noted again: who has an authentic one
	// can send it any number of times.
	sameRemoval = time.Minute
)

// removal tells that a user removed the app.
type removal struct {
	user   string
	issued int64 // in seconds of Unix time
}

// removals are to be noted one after the other: each takes the lock of the accounts. The zero
// removals are ready for use.
type removals struct {
	mu      sync.Mutex
	waiting []removal             // the first one is being noted
	known   map[removal]time.Time // since when
	lines   throttle.Throttle[struct{}]
}

// add adds a removal, unless it was added a moment ago. It reports whether nobody notes any, and
// whether there is no room for it.
func (r *removals) add(added removal, now time.Time) (idle, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, since := range r.known {
		if now.Sub(since) >= sameRemoval {
			delete(r.known, other)
		}
	}
	if _, known := r.known[added]; known {
		return false, false
	}
	if len(r.known) >= maxRemovals || len(r.waiting) >= maxRemovals {
		return false, true
	}
	if r.known == nil {
		r.known = make(map[removal]time.Time)
	}
	r.known[added] = now
	r.waiting = append(r.waiting, added)
	return len(r.waiting) == 1, false
}

// each calls note with each removal, until none is left.
func (r *removals) each(note func(removal)) {
	for more := true; more; {
		r.mu.Lock()
		first := r.waiting[0]
		r.mu.Unlock()
		note(first)
		r.mu.Lock()
		r.waiting = slices.Delete(r.waiting, 0, 1)
		more = len(r.waiting) > 0
		r.mu.Unlock()
	}
}

// Deauthorized tells the service that looks after accounts, if there is one, that the owner
// of an account removed the app, and when that was. It waits for nothing, and does nothing for
// a nil App.
func (a *App) Deauthorized(user string, issued time.Time) {
	if a == nil {
		return
	}
	for _, service := range a.services {
		s, ok := service.(*account.Service)
		if !ok {
			continue
		}
		switch idle, full := a.removals.add(removal{user, issued.Unix()}, time.Now()); {
		case full:
			if leftOut, ok := a.removals.lines.Admit(struct{}{}); ok {
				a.ctx.Logger().Error("too many accounts are deauthorized at a time to note all: their subscriptions may be repaired in vain", zap.Int("left_out", leftOut))
			}
		case idle:
			go a.removals.each(func(r removal) { a.deauthorize(s, r) })
		}
	}
}

func (a *App) deauthorize(s *account.Service, r removal) {
	ctx, cancel := context.WithTimeout(a.ctx, deauthorizeTimeout)
	defer cancel()
	if _, err := s.Deauthorized(ctx, r.user, time.Unix(r.issued, 0)); err != nil {
		a.ctx.Logger().Error("an account was deauthorized, which could not be noted: its subscription may be repaired in vain", zap.Error(err))
	}
}
