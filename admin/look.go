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
	return answer(w, all)
}

// How many events one answer lists.
const (
	defaultLimit = 100
	maxLimit     = page
)

// maxBodies is how many bytes of bodies one answer lists, unless it is one body.
var maxBodies = 8 << 20

// list shows events without gaps, the newest first. Bodies may make it stop
// before the limit; there are no more events only when it shows none.
func (a *API) list(w http.ResponseWriter, r *request) error {
	store, err := a.store(r)
	if err != nil {
		return err
	}
	filter, err := r.filter()
	if err != nil {
		return err
	}
	limit, err := r.number("limit", defaultLimit, maxLimit)
	if err != nil {
		return err
	}
	bodies, err := r.flag("bodies")
	if err != nil {
		return err
	}
	filter.Limit = int(limit)
	events, err := store.List(r.Context(), filter)
	if err != nil {
		return err
	}
	text := []byte{'['}
	total := 0
	for i := range events {
		e := &events[i]
		if bodies {
			if total += e.Size; i > 0 && total > maxBodies {
				break
			}
			// One at a time: only now the store need have them in memory.
			if e.Body, err = body(r.Context(), store, e.ID); err != nil {
				return err
			}
		}
		if i > 0 {
			text = append(text, ',', '\n')
		}
		if text, err = NewEvent(e).appendJSON(text); err != nil {
			return err
		}
		e.Body = nil
	}
	return send(w, append(text, ']'))
}

// body returns the body of an event, or nil if it was forgotten meanwhile.
func body(ctx context.Context, store queue.Store, id uint64) ([]byte, error) {
	e, err := find(ctx, store, queue.Filter{ID: id, Bodies: true})
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e.Body, nil
}

// show shows an event with its body.
func (a *API) show(w http.ResponseWriter, r *request) error {
	store, id, err := a.one(r)
	if err != nil {
		return err
	}
	e, err := find(r.Context(), store, queue.Filter{ID: id, Bodies: true})
	if err != nil {
		return err
	}
	text, err := NewEvent(e).appendJSON(nil)
	if err != nil {
		return err
	}
	return send(w, text)
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
