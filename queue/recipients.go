package queue

import (
	"context"
	"errors"
	"slices"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// ErrInConfig is why a consumer cannot be dropped.
var ErrInConfig = errors.New("the consumer is in the config: remove it there first")

// recipients are the consumers of all running configs. At a reload there are two for a
// moment, both of which accept: an event must be missed neither by a consumer that is new
// nor, as the new config may yet fail, by one that goes.
type recipients struct {
	names  []string
	fields [][]string // that each of them wants; empty: all
}

func recipientsOf(running []*runner) (r recipients) {
	for _, q := range running {
		for i := range q.handler.Consumers {
			c := &q.handler.Consumers[i]
			switch known := slices.Index(r.names, c.Name); {
			case known < 0:
				r.names = append(r.names, c.Name)
				r.fields = append(r.fields, c.Fields)
			case len(c.Fields) == 0:
				r.fields[known] = nil
			case len(r.fields[known]) > 0:
				r.fields[known] = append(slices.Clip(r.fields[known]), c.Fields...)
			}
		}
	}
	return r
}

// of returns who gets an event of a field, as queue.Record.For, or 0 if nobody does.
func (r *recipients) of(field string) (set uint64) {
	for i, fields := range r.fields {
		if event.Selects(fields, field) {
			set |= 1 << i
		}
	}
	return set
}

// join has the consumers of a queue get what is accepted from now on. Nothing is accepted
// meanwhile: it would be missed by those that begin with what the store keeps.
func (o *SharedStore) join(ctx context.Context, q *runner) error {
	var consumers []queue.Consumer
	for i := range q.handler.Consumers {
		consumers = append(consumers, q.handler.Consumers[i].joined())
	}
	o.joining.Lock()
	defer o.joining.Unlock()
	o.accepting.Lock()
	defer o.accepting.Unlock()
	if err := o.Join(ctx, consumers); err != nil {
		return err
	}
	o.running = append(slices.Clip(o.running), q)
	o.recipients = recipientsOf(o.running)
	return nil
}

// leave ends what join began. Requests that the last queue still has go to its consumers.
func (o *SharedStore) leave(q *runner) {
	o.joining.Lock()
	defer o.joining.Unlock()
	o.accepting.Lock()
	defer o.accepting.Unlock()
	o.running = slices.DeleteFunc(slices.Clone(o.running), func(other *runner) bool { return other == q })
	if len(o.running) > 0 {
		o.recipients = recipientsOf(o.running)
	}
}

// Consumers returns the names of the consumers that the running config has. At a reload,
// those of the old one are among them.
func (o *SharedStore) Consumers() []string {
	o.accepting.RLock()
	defer o.accepting.RUnlock()
	return recipientsOf(o.running).names
}

// Pause begins or ends a pause of a consumer. Once a pause has begun, no attempt does.
func (o *SharedStore) Pause(ctx context.Context, consumer string, paused bool) error {
	if err := o.Store.Pause(ctx, consumer, paused); err != nil || !paused {
		return err
	}
	o.accepting.RLock()
	running := o.running
	o.accepting.RUnlock()
	for _, q := range running {
		for i := range q.handler.Consumers {
			if q.handler.Consumers[i].Name == consumer {
				q.dispatchers[i].Yield()
			}
		}
	}
	return nil
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
