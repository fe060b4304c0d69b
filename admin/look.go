package admin

import (
	"context"
	"errors"
	"net/http"
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
func (a *API) status(w http.ResponseWriter, r *request) error {
	stores := a.stores()
	if r.query.Has("store") {
		store, err := a.store(r)
		if err != nil {
			return err
		}
		stores = []Store{store}
	}
	all := make([]Status, len(stores))
	for i, s := range stores {
		all[i] = StatusOf(r.Context(), s)
	}
	return answer(w, all)
}

// StatusOf returns what a store holds.
func StatusOf(ctx context.Context, store Store) Status {
	s := Status{Store: store.Name, RefusingSince: store.RefusingSince.UTC()}
	stats, err := store.Stats(ctx)
	if err != nil {
		// A store that refuses may not be able to count, either.
		s.Error = err.Error()
		return s
	}
	s.Counts = &Counts{
		stats.Pending, stats.PendingBytes, stats.InFlight, stats.Dead, stats.Delivered, stats.Oldest.UTC(),
	}
	return s
}

// How many events one answer lists.
const (
	defaultLimit = 100

	// MaxLimit is the most.
	MaxLimit = 1000
)

// maxBodies is how many bytes of bodies one answer lists, unless it is one body.
var maxBodies = 8 << 20

func (a *API) list(w http.ResponseWriter, r *request) error {
	store, err := a.store(r)
	if err != nil {
		return err
	}
	filter, err := ParseFilter(r.query)
	if err != nil {
		return err
	}
	if filter.Bodies, err = r.flag("bodies"); err != nil {
		return err
	}
	events, err := List(r.Context(), store, filter)
	if err != nil {
		return err
	}
	text := []byte{'['}
	for i, e := range events {
		if i > 0 {
			text = append(text, ',', '\n')
		}
		if text, err = e.appendJSON(text); err != nil {
			return err
		}
	}
	return send(w, append(text, ']'))
}

// List returns the events that a filter selects, without gaps, in its order, at
// most its Limit. Large bodies make it stop earlier: there are no more events
// only when it returns none.
func List(ctx context.Context, store queue.Store, filter queue.Filter) ([]*Event, error) {
	bodies := filter.Bodies
	filter.Bodies = false
	found, err := store.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	events := make([]*Event, 0, len(found))
	total := 0
	for i := range found {
		e := &found[i]
		if bodies {
			if total += e.Size; i > 0 && total > maxBodies {
				break
			}
			if e.Body, err = body(ctx, store, e.ID); err != nil {
				return nil, err
			}
		}
		events = append(events, newEvent(e))
	}
	return events, nil
}

// body returns the body of an event, or nil if it was forgotten meanwhile.
func body(ctx context.Context, store queue.Store, id uint64) ([]byte, error) {
	e, err := find(ctx, store, id, true)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e.Body, nil
}

// find returns one event.
func find(ctx context.Context, store queue.Store, id uint64, body bool) (*queue.Event, error) {
	events, err := store.List(ctx, queue.Filter{ID: id, Limit: 1, Bodies: body})
	if err == nil && len(events) == 0 {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &events[0], nil
}

// show shows an event with its body.
func (a *API) show(w http.ResponseWriter, r *request) error {
	store, id, err := a.one(r)
	if err != nil {
		return err
	}
	e, err := Find(r.Context(), store, id)
	if err != nil {
		return err
	}
	text, err := e.appendJSON(nil)
	if err != nil {
		return err
	}
	return send(w, text)
}

// Find returns an event with its body.
func Find(ctx context.Context, store queue.Store, id uint64) (*Event, error) {
	e, err := find(ctx, store, id, true)
	if err != nil {
		return nil, err
	}
	return newEvent(e), nil
}

// one returns the store and the number of the event that a request is for.
func (a *API) one(r *request) (Store, uint64, error) {
	id, err := r.id()
	if err != nil {
		return Store{}, 0, err
	}
	store, err := a.store(r)
	return store, id, err
}

// answer sends v as JSON.
func answer(w http.ResponseWriter, v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	return send(w, text)
}

// send sends JSON. Nobody is left to be told if that fails.
func send(w http.ResponseWriter, text []byte) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
	return nil
}
