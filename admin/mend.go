package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// retry makes one event pending again. One that waits for its turn anyway stays
// as it is, and counts 0.
func (a *API) retry(w http.ResponseWriter, r *request) error {
	store, id, err := a.one(r)
	if err != nil {
		return err
	}
	e, err := find(r.Context(), store, id, false)
	if err != nil {
		return err
	}
	if e.InFlight {
		return queue.ErrLeased
	}
	n, err := store.Requeue(r.Context(), queue.Filter{ID: id}, 0)
	if err != nil {
		return err
	}
	return answer(w, Retried{Count: n})
}

// retryAll makes all selected events pending again, one after the other.
func (a *API) retryAll(w http.ResponseWriter, r *request) error {
	interval, err := r.interval()
	if err != nil {
		return err
	}
	store, filter, dryRun, err := a.selected(r)
	if err != nil {
		return err
	}
	if dryRun {
		n, err := count(r.Context(), store, filter)
		if err != nil {
			return err
		}
		return answer(w, Retried{Count: n, DryRun: true})
	}
	n, err := store.Requeue(r.Context(), filter, interval)
	if err != nil {
		return fmt.Errorf("made %d events pending, then: %w", n, err)
	}
	return answer(w, Retried{Count: n})
}

// selected returns which events of which store a request is for, and whether
// they are only to be counted. One that selects events in all states is refused.
func (a *API) selected(r *request) (store Store, filter queue.Filter, dryRun bool, err error) {
	if filter, err = ParseFilter(r.query); err != nil {
		return store, filter, false, err
	}
	if filter.State == "" {
		return store, filter, false, refuse(http.StatusBadRequest, "the parameter state is missing: dead, delivered or pending")
	}
	if dryRun, err = r.flag("dry_run"); err != nil {
		return store, filter, false, err
	}
	store, err = a.store(r)
	return store, filter, dryRun, err
}

// count returns how many events Requeue would make pending or due.
func count(ctx context.Context, store queue.Store, filter queue.Filter) (n int, err error) {
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
func check(ctx context.Context, m queue.Maintainer) (any, error) {
	switch err := m.Check(ctx); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, queue.ErrClosed):
		return nil, err
	case err != nil:
		return Checked{Damage: err.Error()}, nil
	default:
		return Checked{Sound: true}, nil
	}
}

// Compacted is the size of a file in bytes, before and after unused space was
// given back.
type Compacted struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// compact gives unused space back.
func compact(ctx context.Context, m queue.Maintainer) (any, error) {
	before, after, err := m.Compact(ctx)
	return Compacted{before, after}, err
}

// maintain answers with what work finds out about the file of the store that a
// request is for.
func (a *API) maintain(work func(context.Context, queue.Maintainer) (any, error)) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, r *request) error {
		store, err := a.store(r)
		if err != nil {
			return err
		}
		m, ok := store.Store.(queue.Maintainer)
		if !ok {
			return refuse(http.StatusBadRequest, "the store %s has no file to look after", store.Name)
		}
		found, err := work(r.Context(), m)
		if err != nil {
			return err
		}
		return answer(w, found)
	}
}
