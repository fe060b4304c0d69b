package simulate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// maxPending is how many deliveries wait for an attempt or a retry at a time.
// While there are as many, no new ones are sent.
const maxPending = 1000

// Run sends deliveries to a receiver, once. Its fields must not change while Do
// runs.
type Run struct {
	// Client sends the requests.
	Client *Client

	// Deliveries are what is sent.
	Deliveries Deliveries

	// Faults are what goes wrong on the way.
	Faults Faults

	// Rate is the number of deliveries that are begun in a second at most. Zero
	// is no limit. Retries do not count.
	Rate float64

	// Concurrency is the number of requests under way at most. Default: 1,
	// which keeps the order.
	Concurrency int

	// Retry sends again what was not answered with 200, as Meta does: at once,
	// then less and less often, for meta.RetryFor. Messages are governed by
	// meta.AlertAfter and meta.UnsubscribeAfter as well.
	Retry bool

	// Speedup is how much faster than time the clock of the retries runs. It
	// does not touch the time-out of a request. Default: 1.
	Speedup float64

	// Ledger records what was acknowledged. It may be nil.
	Ledger *Ledger

	// Notify is told what Meta would tell the developers. It is called by one
	// goroutine at a time, and may be nil.
	Notify func(Notice)

	tally         *tally
	clock         *clock
	subscriptions *subscriptions
	slots         chan struct{} // one for each request that may be under way
}

// Start prepares a run, so that Progress can be called before Do.
func (r *Run) Start() {
	r.tally = newTally()
	r.clock = newClock(r.Speedup)
	r.subscriptions = &subscriptions{accounts: make(map[string]*subscription), notify: r.notify}
	r.slots = make(chan struct{}, max(r.Concurrency, 1))
}

// Progress returns how the run goes so far. It can be called at any time after
// Start.
func (r *Run) Progress() *Summary { return r.tally.end() }

// Do sends everything and returns how it went, even with an error: that of
// Deliveries, unless the Summary tells it, of the Ledger, of the Client's URL, or
// of ctx if it ended first. What the receiver does is no error.
func (r *Run) Do(ctx context.Context) (*Summary, error) {
	if r.tally == nil {
		r.Start()
	}
	if err := r.Client.Validate(); err != nil {
		return r.tally.end(), err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := r.sendAll(ctx, cancel)
	if err == nil {
		err = context.Cause(ctx)
	}
	return r.tally.end(), err
}

func (r *Run) sendAll(ctx context.Context, abort context.CancelCauseFunc) error {
	var all sync.WaitGroup
	defer all.Wait()
	limit := rate.NewLimiter(rate.Inf, 1)
	if r.Rate > 0 {
		limit.SetLimit(rate.Limit(r.Rate))
	}
	pending := make(chan struct{}, max(maxPending, cap(r.slots)))
	for s, err := range r.Faults.apply(r.Deliveries) {
		switch {
		case errors.Is(err, ErrMalformed):
			r.tally.note(func(sum *Summary) { sum.Malformed++ })
			continue
		case errors.Is(err, ErrIncomplete):
			r.tally.note(func(sum *Summary) { sum.Incomplete = err.Error() })
			continue
		case err != nil:
			abort(err)
			return err
		}
		if limit.Wait(ctx) != nil || !acquire(ctx, pending) || !acquire(ctx, r.slots) {
			return nil // the caller looks why ctx ended
		}
		all.Go(func() {
			defer func() { <-pending }()
			if err := r.deliver(ctx, s); err != nil {
				abort(err)
			}
		})
	}
	return nil
}

func acquire(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// tracked is a delivery from its first attempt to its end.
type tracked struct {
	sending
	family   Family
	ids      []string // none of a forged one
	accounts []string // whose subscription is at stake: none of changes
}

func newTracked(s sending) *tracked {
	events := event.Split(s.body)
	d := &tracked{sending: s, family: FamilyOf(events)}
	if s.forged {
		return d
	}
	d.ids = identities(events)
	if d.family == Messaging {
		for i := range events {
			d.accounts = append(d.accounts, events[i].Account)
		}
		slices.Sort(d.accounts)
		d.accounts = slices.Compact(d.accounts)
	}
	return d
}

// deliver sends a delivery and retries it. The caller has acquired a slot for the
// first attempt. The error is that of the ledger.
func (r *Run) deliver(ctx context.Context, s sending) error {
	d := newTracked(s)
	r.tally.begin(s)
	first := r.clock.now()
	for failed := 0; ; failed++ {
		if ended, _ := r.subscriptions.ended(d.accounts, r.clock.now()); ended {
			<-r.slots
			r.tally.note(func(sum *Summary) { sum.Withheld++; sum.Failed++ })
			return nil
		}
		o := r.attempt(ctx, d, r.clock.now().Sub(first), failed > 0)
		<-r.slots
		switch {
		case ctx.Err() != nil && o.Status == 0:
			r.tally.note(func(sum *Summary) { sum.Unfinished++ })
			return nil
		case s.forged:
			r.tally.forged(o)
			return nil
		case o.OK():
			return r.acknowledge(d)
		}
		if !r.Retry {
			r.tally.note(func(sum *Summary) { sum.Failed++ })
			return nil
		}
		now := r.clock.now()
		r.subscriptions.failed(d.accounts, now)
		due := now.Add(delay(failed + 1))
		if due.After(first.Add(meta.RetryFor)) {
			r.tally.note(func(sum *Summary) { sum.Failed++ })
			return nil
		}
		if !r.pause(ctx, d, due) || !acquire(ctx, r.slots) {
			r.tally.note(func(sum *Summary) { sum.Unfinished++ })
			return nil
		}
	}
}

// attempt sends a delivery once, elapsed after the first time.
func (r *Run) attempt(ctx context.Context, d *tracked, elapsed time.Duration, again bool) Outcome {
	secret, body := r.Client.Secret, d.body
	if d.forged {
		secret = forgedKey
	}
	var later time.Duration
	if again {
		later = max(elapsed, time.Second)
	}
	if d.duplicate {
		later += time.Second
	}
	if later > 0 {
		body = renew(body, later)
	}
	sent := &Delivery{Family: d.family, Body: body}
	sent.Legacy, sent.Signature = Signatures(secret, body)
	o := r.Client.deliver(ctx, sent)
	if ctx.Err() == nil || o.Status > 0 {
		r.tally.request(o, len(body), again)
	}
	return o
}

func (r *Run) acknowledge(d *tracked) error {
	r.subscriptions.succeeded(d.accounts)
	r.tally.note(func(sum *Summary) {
		sum.Accepted++
		sum.Acknowledged += len(d.ids)
	})
	if r.Ledger == nil {
		return nil
	}
	return r.Ledger.Acknowledge(d.ids...)
}

// pause waits until the next attempt is due, or until the accounts are
// unsubscribed. It reports false if ctx ended first.
func (r *Run) pause(ctx context.Context, d *tracked, due time.Time) bool {
	for {
		now := r.clock.now()
		ended, next := r.subscriptions.ended(d.accounts, now)
		if ended || !now.Before(due) {
			return ctx.Err() == nil
		}
		if next.IsZero() || next.After(due) {
			next = due
		}
		if r.clock.sleep(ctx, next) != nil {
			return false
		}
	}
}

func (r *Run) notify(n Notice) {
	r.tally.note(func(sum *Summary) {
		if n.Unsubscribed {
			sum.Unsubscribed++
		} else {
			sum.Alerts++
		}
	})
	if r.Notify != nil {
		r.Notify(n)
	}
}
