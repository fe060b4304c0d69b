package storetest

import (
	"cmp"
	"slices"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// member is a consumer in the model.
type member struct {
	queue.Consumer
	paused bool
}

// member returns the consumer of a name, or nil.
func (m *model) member(name string) *member {
	for _, c := range m.members {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// join has a consumer take events. That of one that is known changes its order for what
// is accepted afterwards.
func (m *model) join(c queue.Consumer) {
	if known := m.member(c.Name); known != nil {
		known.Order = c.Order
		return
	}
	joined := &member{Consumer: c}
	if c.FromKept {
		for _, e := range m.kept(c.Fields) {
			e := newEntry(e.Record, e.ID, joined, e.Accepted)
			e.position = m.nextPosition()
			m.events = append(m.events, e)
		}
		sortEntries(m.events)
	}
	m.members = append(m.members, joined)
	slices.SortFunc(m.members, func(a, b *member) int { return cmp.Compare(a.Name, b.Name) })
}

// kept returns the events that are there for anybody, each once.
func (m *model) kept(fields []string) []*entry {
	kept := slices.Clone(m.events)
	kept = slices.DeleteFunc(kept, func(e *entry) bool {
		return !e.ErasedAt.IsZero() || len(fields) > 0 && !slices.Contains(fields, e.Field)
	})
	return slices.CompactFunc(kept, func(a, b *entry) bool { return a.ID == b.ID })
}

// drop forgets a consumer and what it has.
func (m *model) drop(name string) error {
	c := m.member(name)
	switch {
	case c == nil:
		return queue.ErrNoConsumer
	case m.stats(c).InFlight > 0:
		return queue.ErrLeased
	}
	m.members = slices.DeleteFunc(m.members, func(other *member) bool { return other == c })
	m.forget(func(e *entry) bool { return e.Consumer == name })
	return nil
}

func (m *model) pause(name string, paused bool) error {
	c := m.member(name)
	if c == nil {
		return queue.ErrNoConsumer
	}
	c.paused = paused
	return nil
}

// recipients returns the consumers of an admission, or nil if there is one that the
// model does not know.
func (m *model) recipients(a queue.Admission) (all []*member) {
	for _, name := range a.Recipients() {
		c := m.member(name)
		if c == nil {
			return nil
		}
		all = append(all, c)
	}
	return all
}

// stats returns what there is for a consumer.
func (m *model) stats(c *member) queue.Stats {
	s := queue.Stats{Consumer: c.Name, Paused: c.paused}
	for _, e := range m.events {
		if e.Consumer != c.Name {
			continue
		}
		switch e.State {
		case queue.Pending:
			s.Pending++
			s.PendingBytes += int64(e.Size)
			if s.Oldest.IsZero() {
				s.Oldest = e.Accepted
			}
		case queue.Dead:
			s.Dead++
		case queue.Delivered:
			s.Delivered++
		}
		if e.InFlight {
			s.InFlight++
		}
	}
	return s
}
