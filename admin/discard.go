package admin

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/queue"
)

// Discarded is what became of a request to forget events.
type Discarded struct {
	// Count is how many events were forgotten, or, of a dry run, how many would
	// be.
	Count int `json:"count"`

	// InFlight is how many of the selected events are being delivered just now.
	// These stay.
	InFlight int `json:"in_flight,omitempty"`

	// DryRun tells that nothing was done.
	DryRun bool `json:"dry_run,omitempty"`

	// Before is there if there may be more events: the next request, with this
	// parameter, goes on.
	Before uint64 `json:"before,omitempty"`
}

// discard forgets an event.
func discard(store Store, r *request) (any, error) {
	return nil, store.Discard(r.Context(), r.id)
}

// discardAll forgets one page of the selected events.
func discardAll(store Store, r *request) (any, error) {
	filter, dryRun, err := r.selected()
	if err != nil {
		return nil, err
	}
	if !r.query.Has("limit") {
		filter.Limit = MaxLimit
	}
	events, err := store.List(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	d, err := discardEach(r.Context(), store, events, dryRun)
	if err != nil {
		return nil, fmt.Errorf("forgot %d events, then: %w", d.Count, err)
	}
	// Newer events than those of the first page never come: the queue may take
	// more of them than are forgotten meanwhile.
	if len(events) == filter.Limit {
		d.Before = events[len(events)-1].ID
	}
	return d, nil
}

// discardsAtOnce is how many events are forgotten at a time: they share commits.
const discardsAtOnce = 64

// discardEach forgets events that are not being delivered. Those before an error
// stay forgotten.
func discardEach(ctx context.Context, store Store, events []queue.Event, dryRun bool) (Discarded, error) {
	var count, inFlight atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(discardsAtOnce)
	for i := range events {
		e := &events[i]
		switch {
		case e.InFlight:
			inFlight.Add(1)
			continue
		case dryRun:
			count.Add(1)
			continue
		}
		group.Go(func() error {
			err := store.Discard(ctx, e.ID)
			switch {
			case err == nil:
				count.Add(1)
			case errors.Is(err, queue.ErrLeased):
				inFlight.Add(1)
			case !errors.Is(err, queue.ErrNotFound): // else it was forgotten meanwhile
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	return Discarded{Count: int(count.Load()), InFlight: int(inFlight.Load()), DryRun: dryRun}, err
}
