package bolt

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// model is what a queue.Store must behave like, written in the plainest way.
type model struct {
	events []*modelled          // in the order of acceptance
	seen   map[string]time.Time // identity → when it was accepted last
	places int                  // that were given so far
}

type modelled struct {
	queue.Event
	place int // among those that wait for each other
}

// now returns the time as a store keeps it.
func now() time.Time { return time.UnixMicro(time.Now().UnixMicro()) }

func (m *model) accept(records []queue.Record, a queue.Admission) (fresh []*modelled, duplicates []bool, err error) {
	now := now()
	here := make(map[string]bool)
	duplicates = make([]bool, len(records))
	var bytes int64
	for i, r := range records {
		if a.Dedupe > 0 && !r.NotUnique {
			key := r.DuplicateKey()
			at, seen := m.seen[key]
			if here[key] || seen && now.Before(at.Add(a.Dedupe)) {
				duplicates[i] = true
				continue
			}
			here[key] = true
		}
		bytes += int64(len(r.Body))
		fresh = append(fresh, &modelled{Event: queue.Event{
			Record: r, Size: len(r.Body), State: queue.Pending, Lane: queue.Live, Accepted: now,
		}})
	}
	stats := m.stats()
	if len(fresh) > 0 && (a.MaxEvents > 0 && stats.Pending+int64(len(fresh)) > a.MaxEvents ||
		a.MaxBytes > 0 && stats.PendingBytes+bytes > a.MaxBytes) {
		return nil, nil, queue.ErrFull
	}
	for _, e := range fresh {
		m.places++
		e.place = m.places
	}
	for identity := range here {
		m.seen[identity] = now
	}
	m.events = append(m.events, fresh...)
	if !slices.Contains(duplicates, true) {
		duplicates = nil
	}
	return fresh, duplicates, nil
}

// held reports whether another event keeps e from being leased.
func (m *model) held(e *modelled) bool {
	return e.Order != "" && slices.ContainsFunc(m.events, func(o *modelled) bool {
		return o != e && o.Order == e.Order && o.State == queue.Pending &&
			(o.InFlight || (o.Lane == queue.Replayed) == (e.Lane == queue.Replayed) && o.place < e.place)
	})
}

// due returns the events of a lane that can be leased at a time, in their order.
func (m *model) due(lane queue.Lane, at time.Time) (due []*modelled) {
	for _, e := range m.events {
		if e.State == queue.Pending && e.Lane == lane && !e.InFlight && !e.Due.After(at) && !m.held(e) {
			due = append(due, e)
		}
	}
	slices.SortStableFunc(due, func(a, b *modelled) int { return a.Due.Compare(b.Due) })
	return due
}

// next returns when an event can be leased, or the zero time.
func (m *model) next() (at time.Time) {
	for _, e := range m.events {
		if e.State == queue.Pending && !e.InFlight && !m.held(e) && (at.IsZero() || e.Due.Before(at)) {
			at = e.Due
			if now := now(); at.Before(now) {
				at = now
			}
		}
	}
	return at
}

// leased checks what was leased, and takes note of it.
func (m *model) leased(got []*queue.Event, limit int) error {
	now := now()
	var last queue.Lane // of the one before, if the other lane had one, too
	for i := 0; ; i++ {
		live, retried, replayed := m.due(queue.Live, now), m.due(queue.Retried, now), m.due(queue.Replayed, now)
		var may []*modelled
		switch {
		case i == limit:
		case len(live) > 0 && len(retried) > 0:
			if last != queue.Live {
				may = append(may, live[0])
			}
			if last != queue.Retried {
				may = append(may, retried[0])
			}
		default:
			may = slices.Concat(live, retried, replayed)
			may = may[:min(1, len(may))]
		}
		if len(may) == 0 || i == len(got) {
			if len(may) > 0 || i < len(got) {
				return fmt.Errorf("%d events leased, limit %d: %s\nnext %s", len(got), limit, text(got), text(may))
			}
			return nil
		}
		at := slices.IndexFunc(may, func(e *modelled) bool { return e.ID == got[i].ID })
		if at < 0 {
			return fmt.Errorf("leased %s\nwant one of %s", describe(got[i]), text(may))
		}
		e := may[at]
		last = ""
		if len(live) > 0 && len(retried) > 0 {
			last = e.Lane
		}
		e.InFlight = true
		if !reflect.DeepEqual(got[i], &e.Event) {
			return fmt.Errorf("leased %s\nwant   %s", describe(got[i]), describe(&e.Event))
		}
	}
}

func (m *model) settle(id uint64, o queue.Outcome) {
	e := m.find(id)
	e.InFlight = false
	if o.Released {
		return
	}
	e.State, e.LastError = o.State, o.Error
	e.Attempts++
	if o.State != queue.Pending {
		e.Lane, e.Due, e.Settled = "", time.Time{}, now()
		return
	}
	e.Due = o.Due
	if e.Tried.IsZero() {
		e.Tried = o.Ended
	}
	if e.Lane == queue.Live {
		e.Lane = queue.Retried
	}
}

func (m *model) requeue(f queue.Filter, interval time.Duration) (n int) {
	now := now()
	for _, e := range m.events {
		switch {
		case !selects(f, &e.Event) || e.InFlight:
		case e.State != queue.Pending:
			m.places++
			e.place = m.places
			e.State, e.Lane = queue.Pending, queue.Replayed
			e.Requeued, e.Due, e.Settled = now, now.Add(time.Duration(n)*interval), time.Time{}
			e.Attempts, e.Tried, e.LastError = 0, time.Time{}, ""
			n++
		case e.Lane != queue.Live && e.Due.After(now):
			e.Due = now
			n++
		}
	}
	return n
}

func (m *model) discard(id uint64) error {
	switch e := m.find(id); {
	case e == nil:
		return queue.ErrNotFound
	case e.InFlight:
		return queue.ErrLeased
	}
	m.events = slices.DeleteFunc(m.events, func(e *modelled) bool { return e.ID == id })
	return nil
}

func (m *model) expire(r queue.Retention) {
	now := now()
	m.events = slices.DeleteFunc(m.events, func(e *modelled) bool {
		return e.State == queue.Delivered && !e.Settled.Add(r.Delivered).After(now) ||
			e.State == queue.Dead && !e.Settled.Add(r.Dead).After(now)
	})
}

func (m *model) list(f queue.Filter) (found []*queue.Event) {
	for _, e := range slices.Backward(m.events) {
		if selects(f, &e.Event) && (f.Limit == 0 || len(found) < f.Limit) {
			copied := e.Event
			if !f.Bodies {
				copied.Body = nil
			}
			found = append(found, &copied)
		}
	}
	return found
}

func selects(f queue.Filter, e *queue.Event) bool {
	return (f.ID == 0 || f.ID == e.ID) && (f.State == "" || f.State == e.State) &&
		(f.Field == "" || f.Field == e.Field) && (f.Account == "" || f.Account == e.Account) &&
		!e.Accepted.Before(f.Since) && e.ID > f.After && (f.Before == 0 || e.ID < f.Before)
}

func (m *model) stats() (s queue.Stats) {
	for _, e := range m.events {
		switch e.State {
		case queue.Pending:
			s.Pending++
			s.PendingBytes += int64(e.Size)
			if s.Oldest.IsZero() {
				s.Oldest = e.Accepted
			}
			if e.InFlight {
				s.InFlight++
			}
		case queue.Dead:
			s.Dead++
		case queue.Delivered:
			s.Delivered++
		}
	}
	return s
}

func (m *model) find(id uint64) *modelled {
	for _, e := range m.events {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// crash forgets the leases, as a crash does.
func (m *model) crash() {
	for _, e := range m.events {
		e.InFlight = false
	}
}

// lastID returns the highest id.
func (m *model) lastID() (id uint64) {
	for _, e := range m.events {
		id = max(id, e.ID)
	}
	return id
}

// describe returns all that there is to know of an event.
func describe(e *queue.Event) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format("Jan 2 15:04:05.000000")
	}
	body := e.Body
	return fmt.Sprintf("%d %s recurring %t order %q account %s field %s url %s secret %s signature %x body %.20q (%d of %d), "+
		"%s %s in flight %t, accepted %s requeued %s due %s settled %s, %d attempts since %s %q",
		e.ID, e.Identity, e.NotUnique, e.Order, e.Account, e.Field, e.URL, e.Secret, e.Signature[:4], body, len(body), e.Size,
		e.State, e.Lane, e.InFlight, at(e.Accepted), at(e.Requeued), at(e.Due), at(e.Settled), e.Attempts, at(e.Tried), e.LastError)
}

// text describes events, a line each.
func text[E *queue.Event | *modelled](events []E) string {
	var all string
	for _, e := range events {
		switch e := any(e).(type) {
		case *queue.Event:
			all += "\n" + describe(e)
		case *modelled:
			all += "\n" + describe(&e.Event)
		}
	}
	return cmp.Or(all, "none")
}
