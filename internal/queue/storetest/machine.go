package storetest

import (
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// machine does the same to a store and to a model of it.
type machine struct {
	*model
	store  queue.Store
	opener Opener
	serial int            // of the last event, accepted or not
	window time.Duration  // of the identities
	leased []*queue.Event // not settled yet
}

// runMachine does random things with a store, and compares it with the model after
// each. At the end it drains the store.
func runMachine(t *testing.T, newStore func(dir string) Opener) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		must(t, err)
		defer os.RemoveAll(dir)
		opener := newStore(dir)
		rapid.SyncTest(t, func(t *rapid.T) {
			m := &machine{
				model:  newModel(),
				opener: opener,
				window: rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 48 * time.Hour}).Draw(t, "window"),
			}
			m.open(t)
			m.join(t, queue.Consumer{Name: queue.DefaultConsumer})
			defer func() {
				if m.store != nil {
					must(t, m.store.Close())
				}
			}()
			t.Repeat(m.actions())
			m.drain(t)
		})
	})
}

func (m *machine) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){
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
		"erase":       m.eraseSome,
		"list":        m.listSome,
		"join":        m.joinOne,
		"pause":       m.pauseOne,
		"drop":        m.dropOne,
		"close, open": m.reopen,
		"crash, open": m.crashAndOpen,
		"time passes": func(t *rapid.T) { time.Sleep(duration.Draw(t, "for")) },
	}
	if _, ok := m.store.(queue.Maintainer); ok {
		all["compact"] = m.compact
	}
	return all
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) open(t *rapid.T) {
	store, err := m.opener.Open()
	must(t, err)
	m.store = store
}

// compare checks that the store holds what the model does.
func (m *machine) compare(t *rapid.T) {
	if maintainer, ok := m.store.(queue.Maintainer); ok && rapid.IntRange(0, 4).Draw(t, "check") == 4 {
		must(t, maintainer.Check(t.Context()))
	}
	m.compareList(t, everything)
	all, err := m.store.Stats(t.Context())
	must(t, err)
	if len(all) != len(m.members) {
		t.Fatalf("stats %+v of %d consumers, want %d", all, len(all), len(m.members))
	}
	for i, c := range m.members {
		got, want := all[i], m.stats(c)
		if !got.Oldest.Equal(want.Oldest) {
			t.Fatalf("the oldest event of %s is of %s, want %s", c.Name, got.Oldest, want.Oldest)
		}
		if got.Oldest = want.Oldest; got != want {
			t.Fatalf("stats %+v, want %+v", got, want)
		}
	}
}

func (m *machine) compareList(t *rapid.T, f queue.Filter) {
	events, err := m.store.List(t.Context(), f)
	want := m.list(f)
	if len(want) == 0 && noneSelected(f, err) {
		err = nil
	}
	must(t, err)
	if got, want := describeAll(pointers(events)), describeAll(want); got != want {
		t.Fatalf("filter %+v selects %s\n\nwant %s", f, got, want)
	}
}

// drain delivers all that waits: nothing may be left behind.
func (m *machine) drain(t *rapid.T) {
	for _, c := range m.members {
		m.pause(t, c.Name, false)
		for {
			for len(m.leased) > 0 {
				m.settle(t, len(m.leased)-1, queue.Outcome{State: queue.Delivered})
			}
			if m.stats(c).Pending == 0 {
				break
			}
			if !m.lease(t, c.Name, 3, 1000*time.Hour) {
				t.Fatalf("nothing can be leased for %s of %s", c.Name, describeAll(m.events))
			}
		}
	}
	m.compare(t)
}
