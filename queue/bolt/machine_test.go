package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// machine does the same to a store and to a model of it.
type machine struct {
	model
	store  *Store
	dir    string
	files  int
	serial int
	window time.Duration
	held   []*queue.Event // leased
}

// TestModel does random things with a store, and compares it with the model
// after each. It runs longer with -rapid.checks.
func TestModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			own, err := os.MkdirTemp(dir, "")
			must(t, err)
			m := &machine{
				model:  model{seen: make(map[string]time.Time)},
				dir:    own,
				window: rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 48 * time.Hour}).Draw(t, "window"),
			}
			m.open(t)
			defer func() {
				if m.store != nil {
					must(t, m.store.Close())
				}
				must(t, os.RemoveAll(own))
			}()
			t.Repeat(map[string]func(*rapid.T){
				"":            m.compare,
				"accept":      m.acceptSome,
				"accept more": m.acceptSome,
				"lease":       m.leaseSome,
				"lease more":  m.leaseSome,
				"settle":      m.settleOne,
				"settle more": m.settleOne,
				"settle most": m.settleOne,
				"requeue":     m.requeueSome,
				"discard":     m.discardOne,
				"expire":      m.expireSome,
				"list":        m.listSome,
				"time passes": func(t *rapid.T) { time.Sleep(duration.Draw(t, "for")) },
				"close, open": m.reopen,
				"crash, open": m.crashNow,
				"compact":     m.compactNow,
			})
		})
	})
}

// duration is a time from nothing to days, in whole milliseconds.
var duration = rapid.SampledFrom([]time.Duration{
	0, time.Millisecond, time.Second, 15 * time.Second, 5 * time.Minute, time.Hour, 3 * time.Hour, 50 * time.Hour,
})

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) path() string { return filepath.Join(m.dir, fmt.Sprintf("queue%d.db", m.files)) }

func (m *machine) open(t *rapid.T) {
	var err error
	m.store, err = open(m.path())
	if err != nil {
		m.store = nil
	}
	must(t, err)
}

// compare checks that the store holds what the model does.
func (m *machine) compare(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "check") == 4 { // with a checkpoint
		must(t, m.store.Check(ctx))
	}
	m.compareList(t, queue.Filter{Bodies: true})
	stats, err := m.store.Stats(ctx)
	must(t, err)
	want := m.stats()
	if stats != want {
		t.Fatalf("stats %+v, want %+v", stats, want)
	}
}

func (m *machine) compareList(t *rapid.T, f queue.Filter) {
	events, err := m.store.List(ctx, f)
	want := m.list(f)
	if f.ID != 0 && len(want) == 0 && errors.Is(err, queue.ErrNotFound) {
		err = nil
	}
	must(t, err)
	var got []*queue.Event
	for i := range events {
		got = append(got, &events[i])
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("filter %+v selects %s\n\nwant %s", f, text(got), text(want))
	}
}

func (m *machine) acceptSome(t *rapid.T) {
	records := make([]queue.Record, rapid.IntRange(0, 6).Draw(t, "events"))
	for i := range records {
		m.serial++
		records[i] = queue.Record{
			Identity:  rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", ""}).Draw(t, "identity"),
			NotUnique: rapid.IntRange(0, 5).Draw(t, "recurring") == 5,
			Order:     rapid.SampledFrom([]string{"one", "two", "three", ""}).Draw(t, "order"),
			Account:   rapid.SampledFrom([]string{"1", "2"}).Draw(t, "account"),
			Field:     rapid.SampledFrom([]string{"comments", "messages"}).Draw(t, "field"),
			URL:       "https://hooks.example.com/webhooks",
			Origin:    "203.0.113.9:4711",
			Secret:    rapid.SampledFrom([]string{"instagram", "meta"}).Draw(t, "secret"),
			Signature: [32]byte{byte(m.serial), 1},
			Body:      append(fmt.Appendf(nil, "%d", m.serial), make([]byte, rapid.SampledFrom([]int{0, 10, 900, 9000}).Draw(t, "size"))...),
		}
	}
	a := queue.Admission{Dedupe: m.window}
	switch rapid.IntRange(0, 7).Draw(t, "admission") {
	case 7:
		a.Dedupe = 0
	case 6:
		a.MaxEvents = rapid.Int64Range(1, 20).Draw(t, "limit")
	case 5:
		a.MaxBytes = rapid.Int64Range(1, 20000).Draw(t, "limit")
	}
	last := m.lastID()
	duplicates, err := m.store.Accept(ctx, records, a)
	fresh, wantDuplicates, want := m.accept(records, a)
	if !errors.Is(err, want) || !slices.Equal(duplicates, wantDuplicates) {
		t.Fatalf("accepted: %v, %v, want %v, %v", duplicates, err, wantDuplicates, want)
	}
	// Only the store knows the ids.
	stored, err := m.store.List(ctx, queue.Filter{After: last})
	must(t, err)
	if len(stored) != len(fresh) {
		t.Fatalf("%d events are new, want %d", len(stored), len(fresh))
	}
	for i, e := range fresh {
		e.ID = stored[len(stored)-1-i].ID
	}
}

func (m *machine) leaseSome(t *rapid.T) {
	limit := rapid.IntRange(1, 8).Draw(t, "limit")
	start := time.Now()
	end := start.Add(rapid.SampledFrom([]time.Duration{0, time.Minute, 2 * time.Hour}).Draw(t, "wait") + time.Microsecond)
	waiting, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	events, err := m.store.Lease(waiting, limit)
	next := m.next()
	if next.IsZero() || next.After(end) {
		if !errors.Is(err, context.DeadlineExceeded) || !time.Now().Equal(end) {
			t.Fatalf("leased %s\n%v after %s, want nothing after %s", text(events), err, time.Since(start), end.Sub(start))
		}
		time.Sleep(999 * time.Microsecond) // back to whole milliseconds
		return
	}
	must(t, err)
	if !time.Now().Equal(next) {
		t.Fatalf("waited for %s, want %s", time.Since(start), next.Sub(start))
	}
	must(t, m.leased(events, limit))
	m.held = append(m.held, events...)
}

func (m *machine) settleOne(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip("nothing is leased")
	}
	i := rapid.IntRange(0, len(m.held)-1).Draw(t, "event")
	e := m.held[i]
	o := queue.Outcome{Error: rapid.SampledFrom([]string{"", "500", "refused"}).Draw(t, "error")}
	switch rapid.IntRange(0, 3).Draw(t, "outcome") {
	case 0:
		o.State = queue.Delivered
	case 1:
		o.State, o.Due, o.Ended = queue.Pending, now().Add(duration.Draw(t, "due")-time.Second), now().Add(-duration.Draw(t, "ended"))
	case 2:
		o.State = queue.Dead
	case 3:
		o = queue.Outcome{Released: true}
	}
	must(t, m.store.Settle(ctx, e, o))
	m.settle(e.ID, o)
	m.held = slices.Delete(m.held, i, i+1)
}

// filter draws a filter.
func (m *machine) filter(t *rapid.T) (f queue.Filter) {
	id := rapid.Uint64Range(1, m.lastID()+2)
	if rapid.IntRange(0, 3).Draw(t, "by id") == 3 {
		f.ID = id.Draw(t, "id")
	}
	f.State = rapid.SampledFrom([]queue.State{"", queue.Dead, queue.Delivered, queue.Pending}).Draw(t, "state")
	f.Field = rapid.SampledFrom([]string{"", "", "comments", "live_comments"}).Draw(t, "field")
	f.Account = rapid.SampledFrom([]string{"", "", "1", "3"}).Draw(t, "account")
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
	f.Bodies = rapid.Bool().Draw(t, "bodies")
	return f
}

func (m *machine) listSome(t *rapid.T) { m.compareList(t, m.filter(t)) }

func (m *machine) requeueSome(t *rapid.T) {
	f, interval := m.filter(t), duration.Draw(t, "interval")
	n, err := m.store.Requeue(ctx, f, interval)
	must(t, err)
	if want := m.requeue(f, interval); n != want {
		t.Fatalf("requeued %d, want %d", n, want)
	}
}

func (m *machine) discardOne(t *rapid.T) {
	id := rapid.Uint64Range(1, m.lastID()+2).Draw(t, "id")
	if err, want := m.store.Discard(ctx, id), m.discard(id); !errors.Is(err, want) {
		t.Fatalf("discarded: %v, want %v", err, want)
	}
}

func (m *machine) expireSome(t *rapid.T) {
	r := queue.Retention{Delivered: duration.Draw(t, "delivered"), Dead: duration.Draw(t, "dead"), Dedupe: m.window}
	for more := true; more; {
		var err error
		more, err = m.store.Expire(ctx, r)
		must(t, err)
	}
	m.expire(r)
}

func (m *machine) reopen(t *rapid.T) {
	must(t, m.store.Close())
	m.open(t)
	m.crash()
	m.held = nil
}

// crashNow goes on with a copy of the files as they were while the store was
// open.
func (m *machine) crashNow(t *rapid.T) {
	old := m.path()
	m.files++
	must(t, copyFile(old, m.path()))
	must(t, copyFile(old+journalSuffix, m.path()+journalSuffix))
	must(t, m.store.Close())
	must(t, os.Remove(old))
	m.open(t)
	m.crash()
	m.held = nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, source)
	return errors.Join(err, f.Close())
}

func (m *machine) compactNow(t *rapid.T) {
	syscall.ForkLock.RLock() // see open
	before, after, err := m.store.Compact(ctx)
	syscall.ForkLock.RUnlock()
	must(t, err)
	if info, err := os.Stat(m.path()); err != nil || info.Size() != after || before == 0 {
		t.Fatalf("compacted from %d to %d bytes, the file has %v, %v", before, after, info, err)
	}
}
