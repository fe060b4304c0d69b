package account

import (
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

const (
	// maxClockSkew is how far the clocks of two gateways may be apart.
	maxClockSkew = 5 * time.Minute

	// maxAhead is more than the longest wait: Meta throttles for a day at most.
	maxAhead = 2 * day
)

// setClock takes back times that are still to come, as a clock was wrong and was set back:
// else the account would not be looked at, and its token not be renewed, until then.
func (r *record) setClock(a *Account, now time.Time) {
	for _, past := range []*time.Time{&r.Since, &r.Seen, &r.LastEvent, &r.LastCheck, &r.Deauthorized, &r.Token.Since, &r.Token.Tried} {
		if past.Sub(now) > maxClockSkew {
			*past = now
		}
	}
	for kind, told := range r.Told {
		if told.Sub(now) > maxClockSkew {
			r.Told[kind] = now
		}
	}
	for i := range r.Subscription.Repairs {
		if r.Subscription.Repairs[i].Sub(now) > maxClockSkew {
			r.Subscription.Repairs[i] = now
		}
	}
	r.NextCheck, r.NotBefore = notTooFar(r.NextCheck, now), notTooFar(r.NotBefore, now)
	if end := now.Add(graph.TokenLife); !a.login().Debugs() && r.Token.Expires.Sub(end) > maxClockSkew { // else Meta says when
		r.Token.Expires = end
	}
}

// notTooFar returns a time at which to go on, or now if nothing would wait for so long.
func notTooFar(next, now time.Time) time.Time {
	if next.Sub(now) > maxAhead {
		return now
	}
	return next
}
