package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-instagram/webhooks/queue"
)

// Retried is what became of a request to make events pending again.
type Retried struct {
	// Count is how many events were made pending, or, of a dry run, how many
	// would be.
	Count int `json:"count"`

	// DryRun tells that nothing was done.
	DryRun bool `json:"dry_run,omitempty"`
}

// retry makes one event pending again. One that is due anyway stays as it is, and
// counts 0.
func retry(store Store, r *request) (any, error) {
	e, err := find(r.Context(), store, r.id)
	if err != nil {
		return nil, err
	}
	if e.InFlight {
		return nil, queue.ErrLeased
	}
	n, err := store.Requeue(r.Context(), queue.Filter{ID: r.id}, 0)
	return Retried{Count: n}, err
}

// retryAll makes all selected events pending again, one after the other.
func retryAll(store Store, r *request) (any, error) {
	interval, err := r.interval()
	if err != nil {
		return nil, err
	}
	filter, dryRun, err := r.selected()
	if err != nil {
		return nil, err
	}
	if dryRun {
		n, err := count(r.Context(), store, filter)
		return Retried{Count: n, DryRun: true}, err
	}
	n, err := store.Requeue(r.Context(), filter, interval)
	if err != nil {
		return nil, fmt.Errorf("made %d events pending, then: %w", n, err)
	}
	return Retried{Count: n}, nil
}

// count returns how many events Requeue would make pending or due.
func count(ctx context.Context, store Store, filter queue.Filter) (n int, err error) {
	now := time.Now()
	for filter.Limit = MaxLimit; ; {
		events, err := store.List(ctx, filter)
		if err != nil {
			return 0, err
		}
		for i := range events {
			e := &events[i]
			waits := e.Lane != queue.Live && !e.InFlight && e.Due.After(now)
			if e.State != queue.Pending || waits {
				n++
			}
		}
		if len(events) < filter.Limit {
			return n, nil
		}
		filter.Before = events[len(events)-1].ID
	}
}

// Checked is what was found out about the file of a store.
type Checked struct {
	Sound bool `json:"sound"`

	// Damage says what is wrong with a file that is not sound.
	Damage string `json:"damage,omitempty"`
}

// check looks for damage.
func check(store Store, r *request) (any, error) {
	m, err := maintainer(store)
	if err != nil {
		return nil, err
	}
	switch err := m.Check(r.Context()); {
	case r.Context().Err() != nil:
		return nil, r.Context().Err()
	case errors.Is(err, queue.ErrClosed):
		return nil, err
	case err != nil:
		return Checked{Damage: err.Error()}, nil
	}
	return Checked{Sound: true}, nil
}

// Compacted is the size of a file in bytes, before and after unused space was
// given back.
type Compacted struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// compact gives unused space back.
func compact(store Store, r *request) (any, error) {
	m, err := maintainer(store)
	if err != nil {
		return nil, err
	}
	before, after, err := m.Compact(r.Context())
	return Compacted{before, after}, err
}

// maintainer returns a store as one whose file can be looked after.
func maintainer(store Store) (queue.Maintainer, error) {
	m, ok := store.Store.(queue.Maintainer)
	if !ok {
		return nil, badRequest("the store %s has no file to look after", store.Name)
	}
	return m, nil
}
