package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// change is a step of the script, and what it means.
type change struct {
	name    string
	do      func(*actor) error
	apply   func(*model)
	records []queue.Record // that it accepts
}

// writer writes the script.
type writer struct{ steps []change }

func (w *writer) add(name string, do func(*actor) error, apply func(*model)) {
	w.steps = append(w.steps, change{name: fmt.Sprintf("%d: %s", len(w.steps)+1, name), do: do, apply: apply})
}

// scriptConsumers are those of the script; the last joins later, and begins with what is
// kept.
var scriptConsumers = []string{queue.DefaultConsumer, "crm", "bot"}

// join has consumers join.
func (w *writer) join(consumers ...queue.Consumer) {
	w.add("join", func(a *actor) error { return a.Join(a.t.Context(), consumers) }, func(m *model) {
		for _, c := range consumers {
			m.join(c)
		}
	})
}

// accept accepts events for some consumers, each an identity and a conversation with a
// slash between them, with bodies that have size more bytes than usual.
func (w *writer) accept(consumers []string, size int, events ...string) {
	var records []queue.Record
	for _, event := range events {
		identity, conversation, _ := strings.Cut(event, "/")
		r := record(identity, conversation)
		r.Body = append(r.Body, make([]byte, size)...)
		records = append(records, r)
	}
	admission := queue.Admission{Consumers: consumers, Dedupe: 48 * time.Hour}
	w.add("accept", func(a *actor) error {
		_, err := a.Accept(a.t.Context(), records, admission)
		return err
	}, func(m *model) { _, _, _ = m.accept(records, admission) })
	w.steps[len(w.steps)-1].records = records
}

// settle leases an event for a consumer and settles it.
func (w *writer) settle(consumer, identity string, outcome func() queue.Outcome) {
	w.add("settle "+identity+" for "+consumer, func(a *actor) error {
		return a.settleOne(consumer, identity, outcome())
	}, func(m *model) {
		for _, e := range m.events {
			if e.Consumer == consumer && e.Identity == identity {
				e.settle(outcome(), now())
			}
		}
	})
}

func (w *writer) pause(consumer string, paused bool) {
	w.add("pause", func(a *actor) error { return a.Pause(a.t.Context(), consumer, paused) },
		func(m *model) { _ = m.pause(consumer, paused) })
}

func (w *writer) drop(consumer string) {
	w.add("drop", func(a *actor) error { return a.Drop(a.t.Context(), consumer) },
		func(m *model) { _ = m.drop(consumer) })
}

func (w *writer) requeueDead() {
	w.add("requeue", func(a *actor) error {
		_, err := a.Requeue(a.t.Context(), queue.Filter{State: queue.Dead}, 0)
		return err
	}, func(m *model) { m.requeue(queue.Filter{State: queue.Dead}, 0) })
}

func (w *writer) expire(retention queue.Retention) {
	w.add("expire", func(a *actor) error {
		_, err := a.Expire(a.t.Context(), retention)
		return err
	}, func(m *model) { m.expire(retention) })
}

func delivered() queue.Outcome { return queue.Outcome{State: queue.Delivered} }

func failed() queue.Outcome {
	return queue.Outcome{State: queue.Pending, Due: now().Add(1000 * time.Hour), Attempt: queue.Attempt{Ended: now(), Error: "500"}}
}

func dead(reason string) func() queue.Outcome {
	return func() queue.Outcome { return queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: reason}} }
}

// script makes all kinds of changes: small and large ones, such that need a larger
// file, and such that need none.
func script() []change {
	w := new(writer)
	one, both, others := []string{"default"}, []string{"default", "crm"}, []string{"bot", "default"}
	w.join(queue.Consumer{Name: "default"}, queue.Consumer{Name: "crm", Order: queue.Unordered})
	w.accept(both, 10, "a/1", "b/1", "c/2")
	w.accept(one, 0, "d/2", "a/1", "e/")
	w.settle("default", "a", delivered)
	w.settle("crm", "a", dead("422"))
	w.pause("crm", true)
	w.settle("default", "c", failed)
	w.settle("default", "e", dead("410"))
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("many%d/%d", i, i%7))
	}
	w.accept(both, 3000, many...)
	w.settle("default", "b", delivered)
	w.join(queue.Consumer{Name: "bot", FromKept: true, Order: queue.ByAccount})
	w.requeueDead()
	w.expire(queue.Retention{Dead: time.Hour, Dedupe: 48 * time.Hour})
	w.settle("bot", "a", delivered)
	w.pause("crm", false)
	w.settle("crm", "b", delivered)
	w.settle("default", "e", dead("timeout"))
	w.drop("crm")
	w.accept(others, 5, "f/2", "many3/3", "g/")
	w.join(queue.Consumer{Name: "crm"})
	w.settle("default", "g", delivered)
	w.expire(queue.Retention{Dead: time.Hour, Dedupe: 48 * time.Hour})
	return w.steps
}
