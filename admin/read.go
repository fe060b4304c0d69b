package admin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/caddy-instagram/webhooks/queue"
)

// Status is what a store holds.
type Status struct {
	Store string `json:"store"`

	// Counts is nil if the store could not tell, and Error says why.
	*Counts
	Error string `json:"error,omitempty"`

	// RefusingSince is when the store began to refuse deliveries.
	RefusingSince time.Time `json:"refusing_since,omitzero"`
}

// Counts are the figures of a store.
type Counts struct {
	Pending      int64 `json:"pending"`
	PendingBytes int64 `json:"pending_bytes"`
	InFlight     int64 `json:"in_flight"`
	Dead         int64 `json:"dead"`
	Delivered    int64 `json:"delivered"`

	// Oldest is when the oldest pending event was accepted.
	Oldest time.Time `json:"oldest,omitzero"`
}

// status shows all stores, or the one that was chosen.
func (a *API) status(r *request) (any, error) {
	stores := a.stores()
	if name := r.query.Get("store"); name != "" {
		store, err := a.store(name)
		if err != nil {
			return nil, err
		}
		stores = []Store{store}
	}
	all := make([]Status, len(stores))
	for i, s := range stores {
		all[i] = Status{Store: s.Name, RefusingSince: s.RefusingSince.UTC()}
		stats, err := s.Stats(r.Context())
		if err != nil {
			// A store that refuses may not be able to count, either.
			all[i].Error = err.Error()
			continue
		}
		all[i].Counts = &Counts{
			stats.Pending, stats.PendingBytes, stats.InFlight, stats.Dead, stats.Delivered, stats.Oldest.UTC(),
		}
	}
	return all, nil
}

// list lists the selected events, without gaps. Large bodies make it stop before
// the limit: there are no more events only when it lists none.
func (a *API) list(store Store, r *request) (any, error) {
	filter, err := r.filter()
	if err != nil {
		return nil, err
	}
	bodies, err := r.flag("bodies")
	if err != nil {
		return nil, err
	}
	events, err := store.List(r.Context(), filter)
	if err == nil && bodies {
		events, err = a.addBodies(r.Context(), store, events)
	}
	if err != nil {
		return nil, err
	}
	text := []byte{'['}
	for i := range events {
		if i > 0 {
			text = append(text, ',', '\n')
		}
		if text, err = appendJSON(text, &events[i]); err != nil {
			return nil, err
		}
	}
	return encoded(append(text, ']')), nil
}

// addBodies returns the first of the events, those whose bodies one answer has
// room for, with their bodies.
func (a *API) addBodies(ctx context.Context, store Store, events []queue.Event) ([]queue.Event, error) {
	room := cmp.Or(a.MaxBodies, 8<<20)
	for i := range events {
		e := &events[i]
		if room -= e.Size; i > 0 && room < 0 {
			return events[:i], nil
		}
		found, err := find(ctx, store, e.ID)
		switch {
		case err == nil:
			e.Body = found.Body
		case !errors.Is(err, queue.ErrNotFound): // else it was forgotten meanwhile
			return nil, err
		}
	}
	return events, nil
}

// find returns one event with its body.
func find(ctx context.Context, store Store, id uint64) (*queue.Event, error) {
	events, err := store.List(ctx, queue.Filter{ID: id, Limit: 1, Bodies: true})
	if err == nil && len(events) == 0 {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &events[0], nil
}

// show shows an event with its body.
func show(store Store, r *request) (any, error) {
	e, err := find(r.Context(), store, r.id)
	if err != nil {
		return nil, err
	}
	text, err := appendJSON(nil, e)
	return encoded(text), err
}
