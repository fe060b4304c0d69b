package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/mask"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Detail is an event as it stands for all of its consumers.
type Detail struct {
	// Consumers has the event with its history, for each consumer.
	Consumers []Listed `json:"consumers"`

	// BlockedBy is an earlier event that a consumer has to get first, by its order.
	// Previous is the event before this one in its conversation. Both are only looked for
	// among the events before this one, for a moment.
	BlockedBy uint64 `json:"blocked_by,string,omitempty"`
	Previous  uint64 `json:"previous,string,omitempty"`

	// Headers are those of the next attempt, names and values. A variable stands for the
	// signature.
	Headers [][2]string `json:"headers"`

	Body
}

// Body is the body of an event.
type Body struct {
	// Text is the body, with dots for what is private, unless it was to be revealed. It
	// is in base 64 if the body is not UTF-8, and then only if it was to be revealed.
	Text   string `json:"body"`
	Binary bool   `json:"binary,omitempty"`
}

// maxMasked is the size of the largest body that is shown masked, in bytes.
const maxMasked = 1 << 20

// detail shows an event.
func detail(store Store, r *request) (any, error) {
	events, err := find(r.Context(), store, queue.Filter{ID: r.id, Consumer: r.consumer, Bodies: true, History: true})
	if err != nil {
		return nil, err
	}
	first := &events[0]
	var shown Detail
	if first.ErasedAt.IsZero() { // else it is not delivered any more
		shown.Headers = headersOf(r.Context(), first)
	}
	if len(first.Body) <= maxMasked && utf8.Valid(first.Body) {
		shown.Text = mask.Body(string(first.Body))
	} else {
		shown.Binary = true
	}
	for i := range events {
		shown.Consumers = append(shown.Consumers, newListed(&events[i]))
	}
	if first.Conversation != "" {
		if shown.Previous, err = before(r.Context(), store, first, queue.Filter{Conversation: first.Conversation}); err != nil {
			return nil, err
		}
	}
	for i := range events {
		if shown.BlockedBy == 0 {
			if shown.BlockedBy, err = blocker(r.Context(), store, &events[i]); err != nil {
				return nil, err
			}
		}
	}
	return shown, nil
}

// blocker returns the event that a consumer gets before another one, or 0. Once there was an
// attempt, nothing is before an event.
func blocker(ctx context.Context, store Store, e *queue.Event) (uint64, error) {
	if e.Lane != queue.Live || e.InFlight {
		return 0, nil
	}
	order := queue.ByConversation // of a consumer that is not in the config, as far as is known
	if store.Running != nil {
		order = cmp.Or(store.Running.Order(e.Consumer), order)
	}
	if order.Of(&e.Record) == "" {
		return 0, nil
	}
	filter := queue.Filter{Consumer: e.Consumer, State: queue.Pending, Conversation: e.Conversation}
	if order == queue.ByAccount {
		filter.Conversation, filter.Account = "", e.Account
	}
	return before(ctx, store, e, filter, func(e *queue.Event) bool { return e.Lane != queue.Replayed })
}

// before returns the newest event before e that a filter and conditions select, or 0 if none
// is found within a moment.
func before(ctx context.Context, store Store, e *queue.Event, filter queue.Filter, conditions ...func(*queue.Event) bool) (uint64, error) {
	filter.Before, filter.Limit = e.ID, 1
	s := search{store: store, filter: filter, conditions: conditions}
	found, _, err := s.run(ctx)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].ID, nil
}

// headersOf returns the headers of the next attempt.
func headersOf(ctx context.Context, e *queue.Event) [][2]string {
	r, err := queue.NewRequest(ctx, e)
	if err != nil {
		return nil // the event cannot be delivered, as its last error says
	}
	if _, signed := r.Header[http.CanonicalHeaderKey(meta.HeaderSignature)]; signed {
		r.Header.Set(meta.HeaderSignature, "sha256=$IG_SIGNATURE")
	}
	var all [][2]string
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			all = append(all, [2]string{name, value})
		}
	}
	return all
}

// reveal shows the body of an event as it is, and logs that: it is what people wrote.
func reveal(store Store, r *request) (any, error) {
	events, err := find(r.Context(), store, queue.Filter{ID: r.id, Limit: 1, Bodies: true})
	if err != nil {
		return nil, err
	}
	e := &events[0]
	r.audit(store.Name, msgRevealed, zap.Uint64("id", e.ID))
	if utf8.Valid(e.Body) {
		return Body{Text: string(e.Body)}, nil
	}
	return Body{Text: base64.StdEncoding.EncodeToString(e.Body), Binary: true}, nil
}

// Causes are why events were given up.
type Causes struct {
	Causes []Cause `json:"causes"` // the most frequent first

	// LookedAt is how many dead letters were looked at, the newest. More tells that there
	// are more.
	LookedAt int  `json:"looked_at"`
	More     bool `json:"more"`
}

// Cause is why a consumer's events were given up: how their last error begins.
type Cause struct {
	Cause    string    `json:"cause"`
	Consumer string    `json:"consumer"`
	Count    int       `json:"count"`
	First    time.Time `json:"first"` // when the first of them was given up
	Last     time.Time `json:"last"`
	Sample   uint64    `json:"sample,string"` // the newest
}

const (
	maxDead   = 10_000
	maxCause  = 80 // bytes
	maxCauses = 200
)

// causes groups the newest dead letters.
func causes(store Store, r *request) (any, error) {
	filter := queue.Filter{Consumer: r.consumer, State: queue.Dead, Limit: maxDead}
	events, err := store.List(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	type key struct{ consumer, cause string }
	byKey := make(map[key]*Cause)
	for i := range events {
		e := &events[i]
		cause := cmp.Or(strings.ToValidUTF8(e.LastError[:min(len(e.LastError), maxCause)], ""), "no error is known")
		c := byKey[key{e.Consumer, cause}]
		if c == nil {
			c = &Cause{Cause: cause, Consumer: e.Consumer, Sample: e.ID, First: e.Settled.UTC(), Last: e.Settled.UTC()}
			byKey[key{e.Consumer, cause}] = c
		}
		c.Count++
		if at := e.Settled.UTC(); at.Before(c.First) {
			c.First = at
		} else if at.After(c.Last) {
			c.Last = at
		}
	}
	found := Causes{Causes: []Cause{}, LookedAt: len(events), More: isFull(events, filter)}
	for _, c := range byKey {
		found.Causes = append(found.Causes, *c)
	}
	slices.SortFunc(found.Causes, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.Cause, b.Cause))
	})
	found.Causes = found.Causes[:min(len(found.Causes), maxCauses)]
	return found, nil
}
