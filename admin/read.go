package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/queue"
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
		of, err := s.Stats(r.Context())
		stats := queue.StatsOf(of, queue.DefaultConsumer)
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
	return rawJSON(append(text, ']')), nil
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
	return rawJSON(text), err
}

// Event is an event in a store, as the admin API shows it.
type Event struct {
	ID       uint64      `json:"id"`
	State    queue.State `json:"state"`
	Lane     queue.Lane  `json:"lane,omitempty"`
	InFlight bool        `json:"in_flight,omitempty"`

	// Identity is the id of the CloudEvent.
	Identity string `json:"identity"`
	Field    string `json:"field"`
	Account  string `json:"account,omitempty"`

	// Order is the conversation: events that have it in common are delivered one
	// after the other.
	Order string `json:"order,omitempty"`

	// URL is where the delivery went to, without its query: that may hold
	// what nobody else should know.
	URL string `json:"url"`

	// AppSecret is the name of the secret that the delivery was signed with.
	AppSecret string `json:"app_secret"`

	// Size is that of the body in bytes.
	Size int `json:"size"`

	Accepted time.Time `json:"accepted"`
	Requeued time.Time `json:"requeued,omitzero"`
	Due      time.Time `json:"due,omitzero"`
	Settled  time.Time `json:"settled,omitzero"`

	// Attempts is how many attempts there were since the event was accepted or
	// requeued, the one that delivered it among them.
	Attempts  int    `json:"attempts"`
	LastError string `json:"last_error,omitempty"`

	// Body is a body in JSON, byte for byte, and BodyBase64 any other, which
	// is base 64 in JSON. Both are empty if the body was not asked for, or if
	// the event was forgotten while it was listed.
	Body       json.RawMessage `json:"body,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

// newEvent returns e as the admin API shows it. The result shares the body.
func newEvent(e *queue.Event) *Event {
	url, _, _ := strings.Cut(e.URL, "?")
	shown := &Event{
		ID: e.ID, State: e.State, Lane: e.Lane, InFlight: e.InFlight,
		Identity: e.Identity, Field: e.Field, Account: e.Account, Order: e.Conversation,
		URL: url, AppSecret: e.Secret, Size: e.Size,
		Accepted: e.Accepted.UTC(), Requeued: e.Requeued.UTC(), Due: e.Due.UTC(), Settled: e.Settled.UTC(),
		Attempts: e.Attempts, LastError: e.LastError,
	}
	if json.Valid(e.Body) && utf8.Valid(e.Body) {
		shown.Body = e.Body
	} else {
		shown.BodyBase64 = e.Body
	}
	return shown
}

// Bytes returns the body as it was stored, or nil.
func (e *Event) Bytes() []byte {
	if e.Body != nil {
		return e.Body
	}
	return e.BodyBase64
}

// appendJSON appends an event to dst. A body in JSON stays as it is, which the
// encoder of the standard library would not leave it.
func appendJSON(dst []byte, e *queue.Event) ([]byte, error) {
	shown := newEvent(e)
	body := shown.Body
	shown.Body = nil
	text, err := encode(shown)
	if err != nil {
		return nil, err
	}
	dst = append(dst, text...)
	if body != nil {
		dst = append(dst[:len(dst)-1], `,"body":`...)
		dst = append(append(dst, body...), '}')
	}
	return dst, nil
}

// encode returns v as JSON, without escapes for HTML.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
