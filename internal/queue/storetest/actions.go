package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// duration is a time from nothing to days, in whole milliseconds.
var duration = rapid.SampledFrom([]time.Duration{
	0, time.Millisecond, time.Second, 15 * time.Second, 5 * time.Minute, time.Hour, 3 * time.Hour, 50 * time.Hour,
})

// newRecord draws an event. There are few identities, so that many are duplicates.
func (m *machine) newRecord(t *rapid.T) queue.Record {
	m.serial++
	message := rapid.SampledFrom([]string{"", "", "", "m1", "m2", "m3"}).Draw(t, "message")
	padding := rapid.SampledFrom([]int{0, 10, 900, 9000}).Draw(t, "size")
	return queue.Record{
		Identity:     rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", ""}).Draw(t, "identity"),
		NotUnique:    rapid.IntRange(0, 5).Draw(t, "not unique") == 5,
		Conversation: rapid.SampledFrom([]string{"one", "two", "three", ""}).Draw(t, "order"),
		Account:      rapid.SampledFrom([]string{"1", "2"}).Draw(t, "account"),
		Field:        rapid.SampledFrom([]string{"comments", "messages"}).Draw(t, "field"),
		Message:      message,
		TakesBack:    message != "" && rapid.IntRange(0, 3).Draw(t, "takes back") == 3,
		URL:          "https://hooks.example.com/webhooks",
		Origin:       "203.0.113.9:4711",
		Secret:       rapid.SampledFrom([]string{"instagram", "meta"}).Draw(t, "secret"),
		Signature:    [32]byte{byte(m.serial), 1},
		Body:         append(fmt.Appendf(nil, "%d ", m.serial), make([]byte, padding)...),
	}
}

func (m *machine) acceptSome(t *rapid.T) {
	records := make([]queue.Record, rapid.IntRange(0, 6).Draw(t, "events"))
	for i := range records {
		records[i] = m.newRecord(t)
	}
	a := queue.Admission{Dedupe: m.window, Consumers: m.recipientsOf(t, records)}
	switch rapid.IntRange(0, 7).Draw(t, "admission") {
	case 7:
		a.Dedupe = 0
	case 6:
		a.MaxEvents = rapid.Int64Range(1, 20).Draw(t, "limit")
	case 5:
		a.MaxBytes = rapid.Int64Range(1, 20000).Draw(t, "limit")
	}
	last := m.lastID()
	duplicates, err := m.store.Accept(t.Context(), records, a)
	fresh, wantDuplicates, want := m.accept(records, a)
	if !errors.Is(err, want) || !slices.Equal(duplicates, wantDuplicates) {
		t.Fatalf("accepted for %q: %v, %v, want %v, %v", a.Consumers, duplicates, err, wantDuplicates, want)
	}
	// Only the store knows the ids.
	stored, err := m.store.List(t.Context(), queue.Filter{After: last, OldestFirst: true})
	must(t, err)
	if len(stored) != len(fresh) {
		t.Fatalf("%d events are new, want %d", len(stored), len(fresh))
	}
	for i, e := range fresh {
		e.ID = stored[i].ID
	}
}

func (m *machine) leaseSome(t *rapid.T) {
	limit := rapid.IntRange(1, 8).Draw(t, "limit")
	wait := rapid.SampledFrom([]time.Duration{0, time.Minute, 2 * time.Hour}).Draw(t, "wait")
	m.lease(t, consumerName.Draw(t, "consumer"), limit, wait+time.Microsecond)
}

// lease leases events for a consumer, or waits in vain, and reports whether it got some.
func (m *machine) lease(t *rapid.T, consumer string, limit int, wait time.Duration) bool {
	start := time.Now()
	end := start.Add(wait)
	waiting, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	events, valid, err := m.store.Lease(waiting, consumer, limit)
	c := m.member(consumer)
	if c == nil {
		if !errors.Is(err, queue.ErrNoConsumer) || !time.Now().Equal(start) {
			t.Fatalf("leased for %s, who is unknown: %v after %s", consumer, err, time.Since(start))
		}
		return false
	}
	next := m.next(c)
	if next.IsZero() || next.After(end) {
		if !errors.Is(err, context.DeadlineExceeded) || !time.Now().Equal(end) {
			t.Fatalf("leased %s\n%v after %s, want nothing after %s", describeAll(events), err, time.Since(start), wait)
		}
		time.Sleep(999 * time.Microsecond) // back to whole milliseconds
		return false
	}
	must(t, err)
	if !time.Now().Equal(next) {
		t.Fatalf("waited for %s, want %s", time.Since(start), next.Sub(start))
	}
	must(t, valid.Err())
	must(t, m.model.lease(consumer, events, limit))
	m.leased = append(m.leased, events...)
	return true
}

func (m *machine) settleOne(t *rapid.T) {
	if len(m.leased) == 0 {
		t.Skip("nothing is leased")
	}
	o := queue.Outcome{Attempt: queue.Attempt{
		Ended:  now().Add(-duration.Draw(t, "ended")),
		Took:   duration.Draw(t, "took"),
		Status: rapid.SampledFrom([]int{0, 200, 500}).Draw(t, "status"),
		Error:  rapid.SampledFrom([]string{"", "500", "refused"}).Draw(t, "error"),
		Answer: rapid.SampledFrom([][]byte{nil, []byte("no\x00\xff"), make([]byte, 1024)}).Draw(t, "answer"),
	}}
	switch rapid.IntRange(0, 3).Draw(t, "outcome") {
	case 0:
		o.State = queue.Delivered
	case 1:
		o.State = queue.Pending
		o.Due = now().Add(duration.Draw(t, "due") - time.Second)
	case 2:
		o.State = queue.Dead
	case 3:
		o = queue.Outcome{Released: true}
	}
	m.settle(t, rapid.IntRange(0, len(m.leased)-1).Draw(t, "event"), o)
}

func (m *machine) settle(t *rapid.T, at int, o queue.Outcome) {
	e := m.leased[at]
	must(t, m.store.Settle(t.Context(), e, o))
	m.model.settle(e.ID, e.Consumer, o)
	m.leased = slices.Delete(m.leased, at, at+1)
}

// filter draws a filter.
func (m *machine) filter(t *rapid.T) (f queue.Filter) {
	id := rapid.Uint64Range(1, m.lastID()+2)
	if rapid.IntRange(0, 3).Draw(t, "by id") == 3 {
		f.ID = id.Draw(t, "id")
	}
	if rapid.IntRange(0, 3).Draw(t, "by ids") == 3 {
		f.IDs = slices.Compact(slices.Sorted(slices.Values(rapid.SliceOf(id).Draw(t, "ids"))))
	}
	f.Failed = rapid.IntRange(0, 3).Draw(t, "failed") == 3
	f.Consumer = rapid.SampledFrom([]string{"", "", queue.DefaultConsumer, "crm", "nobody"}).Draw(t, "consumer")
	f.State = rapid.SampledFrom([]queue.State{"", queue.Dead, queue.Delivered, queue.Pending, queue.Erased}).Draw(t, "state")
	f.Field = rapid.SampledFrom([]string{"", "", "comments", "live_comments"}).Draw(t, "field")
	f.Account = rapid.SampledFrom([]string{"", "", "1", "3"}).Draw(t, "account")
	f.Conversation = rapid.SampledFrom([]string{"", "", "", "one", "four"}).Draw(t, "conversation")
	f.Error = rapid.SampledFrom([]string{"", "", "", "5", "refused"}).Draw(t, "error")
	if rapid.Bool().Draw(t, "since") {
		f.Since = now().Add(-duration.Draw(t, "ago"))
	}
	if rapid.IntRange(0, 2).Draw(t, "after") == 2 {
		f.After = id.Draw(t, "id")
	}
	if rapid.IntRange(0, 2).Draw(t, "before") == 2 {
		f.Before = id.Draw(t, "id")
	}
	f.Limit = rapid.IntRange(0, 4).Draw(t, "limit")
	f.OldestFirst = rapid.Bool().Draw(t, "oldest first")
	f.Bodies = rapid.Bool().Draw(t, "bodies")
	f.History = rapid.Bool().Draw(t, "history")
	return f
}

func (m *machine) listSome(t *rapid.T) { m.compareList(t, m.filter(t)) }

func (m *machine) requeueSome(t *rapid.T) {
	f, interval := m.filter(t), duration.Draw(t, "interval")
	n, err := m.store.Requeue(t.Context(), f, interval)
	must(t, err)
	if want := m.requeue(f, interval); n != want {
		t.Fatalf("requeued %d, want %d", n, want)
	}
}

func (m *machine) discardOne(t *rapid.T) {
	id := rapid.Uint64Range(1, m.lastID()+2).Draw(t, "id")
	consumer := rapid.OneOf(rapid.Just(""), consumerName).Draw(t, "consumer")
	if err, want := m.store.Discard(t.Context(), consumer, id), m.discard(consumer, id); !errors.Is(err, want) {
		t.Fatalf("discarded %d for %q: %v, want %v", id, consumer, err, want)
	}
}

func (m *machine) eraseSome(t *rapid.T) {
	e := queue.Erasure{At: now(), Because: rapid.SampledFrom([]string{"asked", ""}).Draw(t, "because"), DryRun: rapid.IntRange(0, 3).Draw(t, "dry run") == 3}
	if rapid.IntRange(0, 3).Draw(t, "by account") == 3 {
		e.Account = rapid.SampledFrom([]string{"1", "3"}).Draw(t, "account")
	} else { // a body begins with the number of its event
		e.User = fmt.Sprint(rapid.IntRange(max(1, m.serial-20), m.serial+1).Draw(t, "user"))
	}
	n, err := m.store.Erase(t.Context(), e)
	must(t, err)
	if want := m.erase(e); n != want {
		t.Fatalf("erased %d events, want %d", n, want)
	}
}

func (m *machine) expireSome(t *rapid.T) {
	r := queue.Retention{Delivered: duration.Draw(t, "delivered"), Dead: duration.Draw(t, "dead"), Dedupe: m.window}
	for more := true; more; {
		var err error
		more, err = m.store.Expire(t.Context(), r)
		must(t, err)
	}
	m.expire(r)
}

func (m *machine) reopen(t *rapid.T) {
	must(t, m.store.Close())
	m.restarted(t)
}

func (m *machine) crashAndOpen(t *rapid.T) {
	if m.opener.Crash == nil {
		t.Skip("this store cannot crash")
	}
	must(t, m.opener.Crash(m.store))
	m.restarted(t)
}

// restarted opens the store again.
func (m *machine) restarted(t *rapid.T) {
	m.store = nil
	m.open(t)
	m.crash()
	m.leased = nil
	m.compare(t)
	m.rejoin(t)
}

func (m *machine) compact(t *rapid.T) {
	_, _, err := m.store.(queue.Maintainer).Compact(t.Context())
	must(t, err)
}
