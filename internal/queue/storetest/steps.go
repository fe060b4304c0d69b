package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// change is a step of the script, and what it means.
type change struct {
	name  string
	do    func(*actor) error
	apply func(*model)
}

// writer writes the script.
type writer struct{ steps []change }

func (w *writer) add(name string, do func(*actor) error, apply func(*model)) {
	w.steps = append(w.steps, change{fmt.Sprintf("%d: %s", len(w.steps)+1, name), do, apply})
}

var scriptAdmission = queue.Admission{Dedupe: 48 * time.Hour}

// accept accepts events, each an identity and an order with a slash between them,
// with bodies that have size more bytes than usual.
func (w *writer) accept(size int, events ...string) {
	var records []queue.Record
	for _, event := range events {
		identity, order, _ := strings.Cut(event, "/")
		r := record(identity, order)
		r.Body = append(r.Body, make([]byte, size)...)
		records = append(records, r)
	}
	w.add("accept", func(a *actor) error {
		_, err := a.Accept(a.t.Context(), records, scriptAdmission)
		return err
	}, func(m *model) {
		_, _, _ = m.accept(records, scriptAdmission)
	})
}

// settle leases an event and settles it.
func (w *writer) settle(identity string, outcome func() queue.Outcome) {
	w.add("settle "+identity, func(a *actor) error {
		return a.settleOne(identity, outcome())
	}, func(m *model) {
		for _, e := range m.events {
			if e.Identity == identity {
				e.settle(outcome(), now())
			}
		}
	})
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
	w.add("join", func(a *actor) error {
		return a.Join(a.t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}})
	}, func(*model) {})
	w.accept(10, "a/1", "b/1", "c/2")
	w.accept(0, "d/2", "a/1", "e/")
	w.settle("a", delivered)
	w.settle("c", failed)
	w.settle("e", dead("410"))
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("many%d/%d", i, i%7))
	}
	w.accept(3000, many...)
	w.settle("b", delivered)
	w.add("requeue", func(a *actor) error {
		_, err := a.Requeue(a.t.Context(), queue.Filter{State: queue.Dead}, 0)
		return err
	}, func(m *model) { m.requeue(queue.Filter{State: queue.Dead}, 0) })
	retention := queue.Retention{Dead: time.Hour, Dedupe: 48 * time.Hour}
	w.add("expire", func(a *actor) error {
		_, err := a.Expire(a.t.Context(), retention)
		return err
	}, func(m *model) { m.expire(retention) })
	w.settle("e", dead("timeout"))
	w.accept(5, "f/2", "many3/3", "g/")
	w.settle("g", delivered)
	return w.steps
}
