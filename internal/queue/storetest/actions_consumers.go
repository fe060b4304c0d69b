package storetest

import (
	"errors"
	"slices"

	"pgregory.net/rapid"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// consumerName is the name of a consumer that may have joined, or not.
var consumerName = rapid.SampledFrom([]string{queue.DefaultConsumer, "crm", "bot"})

// joinOne has a consumer join that is new, or join again: perhaps with another order.
func (m *machine) joinOne(t *rapid.T) {
	c := queue.Consumer{
		Name:     consumerName.Draw(t, "consumer"),
		Order:    rapid.SampledFrom([]queue.Order{queue.ByConversation, queue.ByAccount, queue.Unordered}).Draw(t, "order"),
		FromKept: rapid.Bool().Draw(t, "from kept"),
		Fields:   rapid.SampledFrom([][]string{nil, {"comments"}, {"mentions", "messages"}}).Draw(t, "fields"),
	}
	m.join(t, c)
}

func (m *machine) join(t *rapid.T, consumers ...queue.Consumer) {
	must(t, m.store.Join(t.Context(), consumers))
	for _, c := range consumers {
		m.model.join(c)
	}
}

// rejoin has all consumers join once more after the store was opened. They are known, and
// where they would begin does not matter.
func (m *machine) rejoin(t *rapid.T) {
	var all []queue.Consumer
	for _, c := range m.members {
		all = append(all, queue.Consumer{Name: c.Name, Order: c.Order, FromKept: !c.FromKept})
	}
	m.join(t, all...)
}

func (m *machine) pauseOne(t *rapid.T) {
	m.pause(t, consumerName.Draw(t, "consumer"), rapid.Bool().Draw(t, "paused"))
}

func (m *machine) pause(t *rapid.T, consumer string, paused bool) {
	if err, want := m.store.Pause(t.Context(), consumer, paused), m.model.pause(consumer, paused); !errors.Is(err, want) {
		t.Fatalf("pause of %s: %v, want %v", consumer, err, want)
	}
}

func (m *machine) dropOne(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "drop") < 2 {
		t.Skip("consumers stay for a while")
	}
	consumer := consumerName.Draw(t, "consumer")
	if err, want := m.store.Drop(t.Context(), consumer), m.drop(consumer); !errors.Is(err, want) {
		t.Fatalf("dropped %s: %v, want %v", consumer, err, want)
	}
}

// recipientsOf draws who gets a delivery, and which of its events: mostly consumers that
// have joined, in any order.
func (m *machine) recipientsOf(t *rapid.T, records []queue.Record) (names []string) {
	if rapid.IntRange(0, 9).Draw(t, "recipients") == 9 {
		names = rapid.SampledFrom([][]string{nil, {"nobody"}, {queue.DefaultConsumer, "nobody"}}).Draw(t, "names")
	} else {
		for _, c := range m.members {
			names = append(names, c.Name)
		}
		if len(names) > 0 {
			names = rapid.Permutation(names).Draw(t, "names")
			names = names[:rapid.IntRange(1, len(names)).Draw(t, "how many")]
		}
	}
	all := uint64(1)<<max(1, len(names)) - 1
	for i := range records {
		records[i].For = rapid.Uint64Range(0, all).Draw(t, "for")
	}
	return slices.Clip(names)
}
