package admin

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Listed is an event whose id is a string: it may be too large a number for a browser.
type Listed struct {
	ID uint64 `json:"id,string"`
	*Event
}

// newListed returns an event without its body.
func newListed(e *queue.Event) Listed {
	shown := newEvent(e)
	shown.Body, shown.BodyBase64 = nil, nil
	return Listed{shown.ID, shown}
}

// Found is a part of the events that a request selects, the newest first.
type Found struct {
	Events []Listed `json:"events"`

	// Next is there if there may be more events: the next request, with this as the
	// parameter before, goes on. It may be there without an event, because a request
	// looks at as many as it can within a moment.
	Next uint64 `json:"next,string,omitempty"`
}

// events lists the selected events, as many as are found within a moment.
func events(store Store, r *request) (any, error) {
	s, err := r.search(store)
	if err != nil {
		return nil, err
	}
	events, next, err := s.run(r.Context())
	if err != nil {
		return nil, err
	}
	found := Found{Events: make([]Listed, 0, len(events)), Next: next}
	for i := range events {
		found.Events = append(found.Events, newListed(&events[i]))
	}
	return found, nil
}

// search looks for events from the newest to the oldest, in steps, because a store would
// look at all that it has for a filter that selects little of it.
type search struct {
	store  Store
	filter queue.Filter
	prefix uint64 // of the id; 0: any

	// conditions select events in addition to the filter, by the bodies if the filter has
	// Bodies. For a request they are the same for all consumers.
	conditions []func(*queue.Event) bool
}

const (
	// searchTime is how long a search may take.
	searchTime = 60 * time.Millisecond

	// A step looks at this many ids at first, and at more while steps are quick.
	firstStep = 1 << 11
	quickStep = 5 * time.Millisecond

	// maxLook is how many bytes of bodies a step looks into.
	maxLook = 8 << 20
)

// search returns the search for what a request selects, some of which no store knows.
func (r *request) search(store Store) (*search, error) {
	filter, err := r.filter()
	if err != nil {
		return nil, err
	}
	s := &search{store: store, filter: filter}
	if s.prefix, err = r.number("id", math.MaxUint64); err != nil {
		return nil, err
	}
	if s.filter.Failed, err = r.flag("failed"); err != nil {
		return nil, err
	}
	for name, condition := range map[string]func(*queue.Event) bool{
		"test": about(func(e *event.Event) bool { return e.Test }),
		"echo": about(func(e *event.Event) bool { return e.Echo }),
	} {
		wanted, err := r.flag(name)
		if err != nil {
			return nil, err
		}
		if wanted {
			s.conditions = append(s.conditions, condition)
			s.filter.Bodies = true
		}
	}
	return s, nil
}

// each calls visit with all events that are found, the newest first, until it returns an error.
func (s *search) each(ctx context.Context, visit func(*queue.Event) error) error {
	part := *s
	for part.filter.Limit = MaxLimit; ; {
		events, next, err := part.run(ctx)
		if err != nil {
			return err
		}
		for i := range events {
			if err := visit(&events[i]); err != nil {
				return err
			}
		}
		if next == 0 {
			return nil
		}
		part.filter.Before = next
	}
}

// about returns a condition of what the body of an event says.
func about(is func(*event.Event) bool) func(*queue.Event) bool {
	return func(e *queue.Event) bool { return len(e.Body) > 0 && is(&event.Split(e.Body)[0]) }
}

func (s *search) fits(e *queue.Event) bool {
	for _, condition := range s.conditions {
		if !condition(e) {
			return false
		}
	}
	return true
}

// span is a range of ids.
type span struct{ low, high uint64 }

// spans returns the ranges of the ids up to last that begin with the digits of prefix, the
// highest first.
func spans(prefix, last uint64) []span {
	if prefix == 0 {
		return []span{{1, last}}
	}
	var all []span
	for low, high := prefix, prefix; low <= last; low, high = 10*low, 10*high+9 {
		all = append(all, span{low, min(high, last)})
		if low > math.MaxInt64/10 { // no store has higher ones
			break
		}
	}
	slices.Reverse(all)
	return all
}

// run returns the events that were found, up to the limit of the filter, and where to go on
// if there may be more.
func (s *search) run(ctx context.Context) (found []queue.Event, next uint64, err error) {
	last, err := s.store.Last(ctx)
	if err != nil {
		return nil, 0, err
	}
	if s.filter.Before != 0 {
		last = min(last, s.filter.Before-1)
	}
	begin, step, left := time.Now(), uint64(firstStep), s.filter.Limit
	for _, in := range spans(s.prefix, last) {
		for high := in.high; high >= in.low; {
			started := time.Now()
			low := max(in.low, max(high, step)-step+1)
			events, looked, err := s.look(ctx, span{low, high}, left)
			if err != nil {
				return nil, 0, err
			}
			found = append(found, events...)
			left -= idsOf(events)
			switch {
			case left == 0, looked > 1 && time.Since(begin) > searchTime:
				return found, looked, nil
			case s.isOver(ctx, span{looked, high}):
				return found, 0, nil
			case looked == low && time.Since(started) < quickStep:
				step = min(2*step, math.MaxInt64)
			}
			high = looked - 1
		}
	}
	return found, 0, nil
}

// look returns up to limit events of a span, and down to which id it has looked.
func (s *search) look(ctx context.Context, in span, limit int) (found []queue.Event, looked uint64, err error) {
	filter := s.filter
	filter.After, filter.Before, filter.Bodies = in.low-1, in.high+1, false
	if filter.Limit = limit; s.conditions != nil {
		filter.Limit = firstStep
	}
	events, err := s.store.List(ctx, filter)
	if err != nil {
		return nil, 0, err
	}
	if looked = in.low; isFull(events, filter) {
		looked = events[len(events)-1].ID
	}
	if s.filter.Bodies && len(events) > 0 {
		if events, looked, err = s.addBodies(ctx, filter, events, looked); err != nil {
			return nil, 0, err
		}
	}
	for i := 0; i < len(events); {
		same := sameID(events[i:])
		i += len(same)
		n := len(found)
		for _, e := range same {
			if s.fits(&e) {
				e.Body = nil
				found = append(found, e)
			}
		}
		if len(found) > n {
			if limit--; limit == 0 {
				return found, same[0].ID, nil
			}
		}
	}
	return found, looked, nil
}

// addBodies returns the first of the events with their bodies, as many as it has room for,
// and down to which id these are. An event that is too large comes without: it is a
// delivery that could not be taken apart.
func (s *search) addBodies(ctx context.Context, filter queue.Filter, events []queue.Event, looked uint64) ([]queue.Event, uint64, error) {
	total, n := 0, 0
	for n < len(events) && total+events[n].Size <= maxLook {
		total += events[n].Size
		n++
	}
	if n == 0 {
		return sameID(events), events[0].ID, nil
	}
	if n < len(events) {
		looked = events[n-1].ID // the consumers of an event stay together
	}
	filter.After, filter.Before, filter.Limit, filter.Bodies = events[n-1].ID-1, events[0].ID+1, 0, true
	read, err := s.store.List(ctx, filter)
	return read, looked, err
}

// isOver reports whether all that is before a span is too old to be selected.
func (s *search) isOver(ctx context.Context, in span) bool {
	if s.filter.Since.IsZero() {
		return false
	}
	newest, err := s.store.List(ctx, queue.Filter{After: in.low - 1, Before: in.high + 1, Limit: 1})
	// The clock may have been set back a little.
	return err == nil && len(newest) > 0 && newest[0].Accepted.Before(s.filter.Since.Add(-time.Minute))
}

// idsOf returns how many events there are, each counted once for all of its consumers.
func idsOf(events []queue.Event) (n int) {
	for ; len(events) > 0; n++ {
		events = events[len(sameID(events)):]
	}
	return n
}
