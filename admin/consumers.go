package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Status is what a store holds.
type Status struct {
	Store string `json:"store"`

	// Counts are the sums over the consumers. It is nil if the store could not tell,
	// and Error says why.
	*Counts
	Error string `json:"error,omitempty"`

	// Consumers is what the store holds for each consumer, by name. One that left the
	// config, and has nothing, is left out.
	Consumers []Consumer `json:"consumers,omitempty"`

	// RefusingSince is when the store began to refuse deliveries. RefusingBecause is why it
	// does, or would if there were any.
	RefusingSince   time.Time `json:"refusing_since,omitzero"`
	RefusingBecause string    `json:"refusing_because,omitempty"`

	// Gateways are those that share the store, by name, and Differences is what should be
	// the same on all of them and is not, in words.
	Gateways    []queue.Gateway `json:"gateways,omitempty"`
	Differences []string        `json:"differences,omitempty"`
}

// Consumer is what a store holds for a consumer.
type Consumer struct {
	Name   string `json:"consumer"`
	Paused bool   `json:"paused"`

	// InConfig tells whether the running config has the consumer, of this gateway or of one
	// that shares the store. It is nil if there is no running config.
	InConfig *bool `json:"in_config,omitempty"`

	// LastError is why an attempt last failed, since the process began. Only an overview
	// has it.
	LastError *live.LastError `json:"last_error,omitempty"`

	Counts
}

// Counts are figures of a store, or of one of its consumers.
type Counts struct {
	Pending      int64 `json:"pending"`
	PendingBytes int64 `json:"pending_bytes"`
	InFlight     int64 `json:"in_flight"`
	Dead         int64 `json:"dead"`
	Delivered    int64 `json:"delivered"`

	// Oldest is when the oldest pending event was accepted.
	Oldest time.Time `json:"oldest,omitzero"`
}

// add adds the counts of a consumer.
func (c *Counts) add(of *Counts) {
	c.Pending += of.Pending
	c.PendingBytes += of.PendingBytes
	c.InFlight += of.InFlight
	c.Dead += of.Dead
	c.Delivered += of.Delivered
	if c.Oldest.IsZero() || !of.Oldest.IsZero() && of.Oldest.Before(c.Oldest) {
		c.Oldest = of.Oldest
	}
}

// status shows all stores, or the one that was chosen. If a consumer was chosen, it
// shows those that have it.
func (a *API) status(r *request) (any, error) { return a.statuses(r) }

func (a *API) statuses(r *request) ([]Status, error) {
	stores := a.stores()
	if name := r.query.Get("store"); name != "" {
		store, err := a.store(name)
		if err != nil {
			return nil, err
		}
		stores = []Store{store}
	}
	all := []Status{}
	var missing error
	for _, s := range stores {
		shown := Status{Store: s.Name, RefusingSince: s.RefusingSince.UTC()}
		if s.Refusal != nil {
			shown.RefusingBecause = s.Refusal.Error()
		}
		stats, err := s.consumers(r.Context(), r.consumer)
		if _, isMissing := errors.AsType[caddy.APIError](err); isMissing {
			missing = err
			continue
		}
		if err != nil {
			// A store that refuses may not be able to count, either.
			shown.Error = err.Error()
		} else {
			shown.Counts = new(Counts)
		}
		configured := shown.share(r.Context(), s)
		for _, of := range stats {
			c := s.newConsumer(of, configured)
			shown.add(&c.Counts)
			if r.consumer != "" || c.Counts != (Counts{}) || c.InConfig == nil || *c.InConfig {
				shown.Consumers = append(shown.Consumers, c)
			}
		}
		all = append(all, shown)
	}
	if len(all) == 0 && missing != nil {
		return nil, missing
	}
	return all, nil
}

// share adds the gateways that share a store, and returns the consumers in their configs.
func (shown *Status) share(ctx context.Context, s Store) (configured []string) {
	if s.Running != nil {
		configured = s.Running.Consumers()
	}
	sharer, ok := s.Store.(queue.Sharer)
	if !ok {
		return configured
	}
	all, _, err := sharer.Gateways(ctx)
	if err != nil {
		shown.Error = err.Error()
	}
	for i := range all {
		for _, c := range all[i].Recipients {
			configured = append(configured, c.Name)
		}
	}
	shown.Gateways, shown.Differences = all, queue.Differences(all)
	return configured
}

// newConsumer returns what the store holds for a consumer as the admin API shows it.
func (s Store) newConsumer(of queue.Stats, configured []string) Consumer {
	c := Consumer{Name: of.Consumer, Paused: of.Paused, Counts: Counts{
		of.Pending, of.PendingBytes, of.InFlight, of.Dead, of.Delivered, of.Oldest.UTC(),
	}}
	if s.Running != nil {
		c.InConfig = new(slices.Contains(configured, c.Name))
	}
	return c
}

// consumers returns what the store holds for the consumer with a name, which must be
// there, or for each consumer if the name is empty.
func (s Store) consumers(ctx context.Context, name string) ([]queue.Stats, error) {
	all, err := s.Stats(ctx)
	if err != nil || name == "" {
		return all, err
	}
	var names []string
	for i := range all {
		if all[i].Consumer == name {
			return all[i : i+1], nil
		}
		names = append(names, all[i].Consumer)
	}
	return nil, reject(http.StatusNotFound, "there is no such consumer; there are: %s", strings.Join(names, ", "))
}

// errWhichConsumer refuses a request that must name a consumer.
var errWhichConsumer = badRequest("the parameter consumer is missing")

// Paused is the answer to a request to pause a consumer, or to end that.
type Paused struct {
	Consumer string `json:"consumer"`
	Paused   bool   `json:"paused"`
}

// pause begins or ends a pause of a consumer.
func pause(paused bool) func(Store, *request) (any, error) {
	return func(store Store, r *request) (any, error) {
		if r.consumer == "" {
			return nil, errWhichConsumer
		}
		set := store.Pause
		if store.Running != nil {
			set = store.Running.Pause
		}
		return Paused{r.consumer, paused}, set(r.Context(), r.consumer, paused)
	}
}

// Dropped is the answer to a request to forget a consumer.
type Dropped struct {
	Consumer string `json:"consumer"`

	// Pending is how many events were given up: they waited for the consumer. Dead and
	// Delivered are those that were kept for it, and are forgotten, too.
	Pending   int64 `json:"pending"`
	Dead      int64 `json:"dead"`
	Delivered int64 `json:"delivered"`
}

// drop forgets a consumer that is not in the config, and what the store holds for it.
func drop(store Store, r *request) (any, error) {
	if r.consumer == "" {
		return nil, errWhichConsumer
	}
	stats, err := store.consumers(r.Context(), r.consumer)
	if err != nil {
		return nil, err
	}
	forget := store.Drop
	if store.Running != nil {
		forget = store.Running.Drop
	}
	if err = forget(r.Context(), r.consumer); err == nil {
		r.audit(store.Name, "a consumer and its events were discarded", zap.String("consumer", r.consumer))
	}
	if errors.Is(err, queue.ErrLeased) {
		err = reject(http.StatusConflict, "an event is being delivered to the consumer just now: try again when that has ended")
	}
	return Dropped{r.consumer, stats[0].Pending, stats[0].Dead, stats[0].Delivered}, err
}
