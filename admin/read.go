package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

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
		if events, err = a.addBodies(r.Context(), store, events); len(events) > 0 {
			r.audit(store.Name, "events were exported", append(rangeOf(events), zap.Int("events", idsOf(events)))...)
		}
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
// room for, with their bodies. It cuts nothing between the consumers of an event.
func (a *API) addBodies(ctx context.Context, store Store, events []queue.Event) ([]queue.Event, error) {
	room := cmp.Or(a.MaxBodies, 8<<20)
	var ids []uint64
	n := 0
	for n < len(events) {
		same := sameID(events[n:])
		if room -= len(same) * same[0].Size; n > 0 && room < 0 {
			break
		}
		ids = append(ids, same[0].ID)
		n += len(same)
	}
	events = events[:n]
	if n == 0 {
		return events, nil
	}
	slices.Sort(ids)
	read, err := store.List(ctx, queue.Filter{IDs: ids, Bodies: true})
	if err != nil {
		return nil, err
	}
	bodies := make(map[uint64][]byte)
	for i := range read {
		bodies[read[i].ID] = read[i].Body
	}
	for i := range events { // one that was forgotten meanwhile comes without
		events[i].Body = bodies[events[i].ID]
	}
	return events, nil
}

// sameID returns the first of the events, and those behind it that are the same event
// for other consumers.
func sameID(events []queue.Event) []queue.Event {
	n := 1
	for n < len(events) && events[n].ID == events[0].ID {
		n++
	}
	return events[:n]
}

// isFull reports whether as many events were listed as the filter allows, so that there
// may be more. It counts as the filter does.
func isFull(events []queue.Event, filter queue.Filter) bool {
	return idsOf(events) == filter.Limit
}

// find returns the events that the filter selects, of which there must be one.
func find(ctx context.Context, store Store, filter queue.Filter) ([]queue.Event, error) {
	events, err := store.List(ctx, filter)
	if err == nil && len(events) == 0 {
		err = queue.ErrNotFound
	}
	return events, err
}

// show shows an event with its body and its history.
func show(store Store, r *request) (any, error) {
	events, err := find(r.Context(), store, queue.Filter{ID: r.id, Consumer: r.consumer, Bodies: true, History: true})
	if err != nil {
		return nil, err
	}
	if len(events) > 1 {
		var names []string
		for _, e := range events {
			names = append(names, e.Consumer)
		}
		return nil, badRequest("several consumers have the event: choose one with the parameter consumer: %s", strings.Join(names, ", "))
	}
	r.audit(store.Name, msgRevealed, zap.Uint64("id", r.id))
	text, err := appendJSON(nil, &events[0])
	return rawJSON(text), err
}
