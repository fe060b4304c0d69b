package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// ErrInConfig is why a consumer cannot be dropped.
var ErrInConfig = errors.New("the consumer is in the config: remove it there first")

// recipients are the consumers of all running configs, those of other gateways among them.
// At a reload there are two for a moment, both of which accept: an event must be missed
// neither by a consumer that is new nor, as the new config may yet fail, by one that goes.
// If gateways share a store, one is reloaded after the other.
type recipients struct {
	names      []string
	configs    [][]selector // of each of them, one for each config that has it
	generation int64        // of the gateways
}

// selector selects the events that a consumer gets by a config.
type selector struct {
	*runner
	*Named
}

func recipientsOf(running []*runner, others ...queue.Gateway) (r recipients) {
	for _, q := range running {
		for i := range q.handler.Consumers {
			r.add(selector{q, &q.handler.Consumers[i]})
		}
	}
	own := slices.Clone(r.names)
	for i := range others {
		for _, other := range others[i].Recipients {
			// Matchers are known only where they are configured.
			if !other.Matching || !slices.Contains(own, other.Name) {
				r.add(selector{Named: &Named{Name: other.Name, Consumer: Consumer{Fields: other.Fields}}})
			}
		}
	}
	return r
}

func (r *recipients) add(s selector) {
	if known := slices.Index(r.names, s.Name); known >= 0 {
		r.configs[known] = append(r.configs[known], s)
		return
	}
	r.names = append(r.names, s.Name)
	r.configs = append(r.configs, []selector{s})
}

// of returns who gets an event of a field, as queue.Record.For, and who gets it if it
// matches.
func (r *recipients) of(field string) (set, ifMatching uint64) {
	for i, configs := range r.configs {
		for _, s := range configs {
			if !event.Selects(s.Fields, field) {
				continue
			}
			if len(s.matchers) == 0 {
				set |= 1 << i
			} else {
				ifMatching |= 1 << i
			}
		}
	}
	return set, ifMatching &^ set
}

// matching returns those in a set whose matchers an event matches.
func (r *recipients) matching(set uint64, e queue.Record) (matching uint64, err error) {
	for i, configs := range r.configs {
		if set>>i&1 == 0 {
			continue
		}
		for _, s := range configs {
			if !event.Selects(s.Fields, e.Field) {
				continue
			}
			matches, err := s.matches(e)
			if err != nil {
				return 0, err
			}
			if matches {
				matching |= 1 << i
				break
			}
		}
	}
	return matching, nil
}

// matches reports whether the request of the first attempt to deliver an event matches.
func (s selector) matches(e queue.Record) (bool, error) {
	r, err := queue.NewRequest(context.Background(), &queue.Event{Record: e, Consumer: s.Name})
	if err != nil {
		return false, err
	}
	matches, err := s.matchers.AnyMatchWithError(s.prepare(nil, r))
	if err != nil {
		// The error may quote what people wrote. Matchers log it themselves.
		return false, fmt.Errorf("the matcher of the consumer %s failed: see its own line in the log", s.Name)
	}
	return matches, nil
}

// join has the consumers of a queue get what is accepted from now on. Nothing is accepted
// meanwhile: it would be missed by those that begin with what the store keeps. Other
// gateways are told before, for the same reason.
func (o *SharedStore) join(ctx context.Context, q *runner) error {
	consumers := q.joined()
	o.joining.Lock()
	defer o.joining.Unlock()
	o.accepting.Lock()
	defer o.accepting.Unlock()
	running := append(slices.Clip(o.running), q)
	o.describe(running)
	if err := o.Join(ctx, consumers); err != nil {
		o.describe(o.running)
		return err
	}
	o.running = running
	_ = o.learn(ctx) // else the first delivery does
	return nil
}

// joined returns the consumers as the store is to know them.
func (q *runner) joined() (all []queue.Consumer) {
	for i := range q.handler.Consumers {
		all = append(all, q.handler.Consumers[i].joined())
	}
	return all
}

// rejoin has the consumers of the running configs join again, as one of them is missing, unless
// somebody else has done so since a generation: another gateway may drop it while nobody hears
// of this one, and a backup may not know it.
func (o *SharedStore) rejoin(ctx context.Context, generation int64, missing error) error {
	o.joining.Lock()
	defer o.joining.Unlock()
	o.accepting.Lock()
	defer o.accepting.Unlock()
	if o.recipients.generation != generation {
		return nil
	}
	o.log().Warn("the queue has lost a consumer of the config, as it was dropped while this gateway was away, or a backup was restored: it gets what is accepted from now on",
		zap.String("store", o.name), zap.Error(missing))
	for _, q := range o.running {
		consumers := q.joined()
		for i := range consumers {
			consumers[i].FromKept = false // it would get again what it had
		}
		if err := o.Join(ctx, consumers); err != nil {
			return o.unlearned(ctx, err)
		}
	}
	return o.unlearned(ctx, o.learn(ctx))
}

// generation returns that of the recipients.
func (o *SharedStore) generation() int64 {
	o.accepting.RLock()
	defer o.accepting.RUnlock()
	return o.recipients.generation
}

// leave ends what join began. Requests that the last queue still has go to its consumers.
func (o *SharedStore) leave(q *runner) {
	o.joining.Lock()
	defer o.joining.Unlock()
	o.accepting.Lock()
	defer o.accepting.Unlock()
	o.running = slices.DeleteFunc(slices.Clone(o.running), func(other *runner) bool { return other == q })
	if len(o.running) > 0 {
		generation := o.recipients.generation
		o.recipients = recipientsOf(o.running, o.others...)
		o.recipients.generation = generation
	}
	o.describe(o.running)
}

// Consumers returns the names of the consumers that the running config has. At a reload,
// those of the old one are among them.
func (o *SharedStore) Consumers() []string {
	o.accepting.RLock()
	defer o.accepting.RUnlock()
	return recipientsOf(o.running).names
}

// Order returns what the running config says about the order of a consumer, or "" if it does
// not have it.
func (o *SharedStore) Order(consumer string) (order queue.Order) {
	o.accepting.RLock()
	defer o.accepting.RUnlock()
	for _, q := range o.running {
		for i := range q.handler.Consumers {
			if c := &q.handler.Consumers[i]; c.Name == consumer {
				order = queue.Order(c.Order)
			}
		}
	}
	return order
}

// Pause begins or ends a pause of a consumer. Once a pause has begun, no attempt does.
func (o *SharedStore) Pause(ctx context.Context, consumer string, paused bool) error {
	if err := o.Store.Pause(ctx, consumer, paused); err != nil || !paused {
		return err
	}
	o.yield(func(name string) bool { return name == consumer })
	return nil
}

// Erase erases what events hold of people. No attempt to deliver one begins here once it was
// erased.
func (o *SharedStore) Erase(ctx context.Context, e queue.Erasure) (int, error) {
	e.Erased = o.yieldAll
	return o.Store.Erase(ctx, e)
}

func (o *SharedStore) yieldAll() { o.yield(func(string) bool { return true }) }

// yield has the dispatchers of some consumers give back what has not begun.
func (o *SharedStore) yield(which func(consumer string) bool) {
	o.accepting.RLock()
	running := o.running
	o.accepting.RUnlock()
	for _, q := range running {
		for i := range q.handler.Consumers {
			if which(q.handler.Consumers[i].Name) {
				q.dispatchers[i].Yield()
			}
		}
	}
}

// Drop forgets a consumer and all that it has. It returns ErrInConfig if the running
// config has it.
func (o *SharedStore) Drop(ctx context.Context, consumer string) error {
	o.joining.Lock()
	defer o.joining.Unlock()
	if slices.Contains(o.Consumers(), consumer) {
		return ErrInConfig
	}
	return o.Store.Drop(ctx, consumer)
}
