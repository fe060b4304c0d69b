package admin

import (
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
	filter := queue.Filter{ID: id}
	e, err := find(r.Context(), store, filter)
	if err != nil {
		return err
	}
	if e.InFlight {
		return queue.ErrLeased
	}
	n, err := store.Requeue(r.Context(), filter, 0)
	if err != nil {
		return err
	}
	return answer(w, Retried{Count: n})
}

// retryAll makes all selected events pending again, one after the other.
func (a *API) retryAll(w http.ResponseWriter, r *request) error {
	filter, err := r.filter()
	if err != nil {
		return err
	}
	if filter.State == "" {
		return refuse(http.StatusBadRequest, "the parameter state is missing: dead, delivered or pending")
	}
	interval, err := r.interval()
	if err != nil {
		return err
	}
	dryRun, err := r.flag("dry_run")
	if err != nil {
		return err
	}
	store, err := a.store(r)
	if err != nil {
		return err
	}
	if dryRun {
		count, now := 0, time.Now()
		err := each(r.Context(), store, filter, func(e *queue.Event) {
			if e.State != queue.Pending || waits(e, now) {
				count++
			}
		})
		if err != nil {
			return err
		}
		return answer(w, Retried{Count: count, DryRun: true})
	}
	n, err := store.Requeue(r.Context(), filter, interval)
	if err != nil {
		return fmt.Errorf("made %d events pending, then: %w", n, err)
	}
	return answer(w, Retried{Count: n})
}

// waits reports whether a pending event waits for a time to come.
func waits(e *queue.Event, now time.Time) bool {
	return e.Lane != queue.Live && !e.InFlight && e.Due.After(now)
}

// discard forgets an event.
func (a *API) discard(w http.ResponseWriter, r *request) error {
	store, id, err := a.one(r)
	if err != nil {
		return err
	}
	if err := store.Discard(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Checked is what was found out about the file of a store.
type Checked struct {
	Sound bool `json:"sound"`

	// Damage says what is wrong with a file that is not sound.
	Damage string `json:"damage,omitempty"`
}

// check looks for damage.
func (a *API) check(w http.ResponseWriter, r *request) error {
	m, err := a.maintainer(r)
	if err != nil {
		return err
	}
	err = m.Check(r.Context())
	if errors.Is(err, queue.ErrClosed) || r.Context().Err() != nil {
		return err
	}
	checked := Checked{Sound: err == nil}
	if err != nil {
		checked.Damage = err.Error()
	}
	return answer(w, checked)
}

// Compacted is the size of a file in bytes, before and after unused space was
// given back.
type Compacted struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// compact gives unused space back.
func (a *API) compact(w http.ResponseWriter, r *request) error {
	m, err := a.maintainer(r)
	if err != nil {
		return err
	}
	var c Compacted
	if c.Before, c.After, err = m.Compact(r.Context()); err != nil {
		return err
	}
	return answer(w, c)
}

// maintainer returns the store that a request is for, if it has a file.
func (a *API) maintainer(r *request) (queue.Maintainer, error) {
	store, err := a.store(r)
	if err != nil {
		return nil, err
	}
	m, ok := store.Store.(queue.Maintainer)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "the store %s has no file to look after", store.Name)
	}
	return m, nil
}
