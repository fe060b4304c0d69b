package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

func (s *stubStore) mustBe(t *testing.T, opened, closed int) {
	t.Helper()
	if o, c := s.uses(); o != opened || c != closed {
		t.Errorf("the store was opened %d and closed %d times, want %d and %d", o, c, opened, closed)
	}
}

func TestValidationOpensNothing(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	c := newStubConfig(t)
	c.mustHandler(t, s)
	c.unload()
	s.mustBe(t, 0, 0)
}

func TestStoreLivesAsLongAsItIsUsed(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	c := newStubConfig(t)
	first, second := c.mustHandler(t, s), c.mustHandler(t, s)
	c.start(t)
	s.mustBe(t, 1, 0)

	for _, h := range []*Handler{first, second} {
		d := stubDelivery(stubComment)
		if _, err := serveStub(h, d); err != nil || !d.Accepted() {
			t.Errorf("accepted: %t, %v", d.Accepted(), err)
		}
	}
	if got := len(s.taken()); got != 2 {
		t.Errorf("got %d events from two handlers, want 2", got)
	}
	c.unload()
	s.mustBe(t, 1, 1)
}

func TestStoreOutlivesConfigs(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	old := newStubConfig(t)
	h := old.mustHandler(t, s)
	old.mustHandler(t, s) // shares the queue, and is no further user of the store
	old.start(t)

	refused := newStubConfig(t)
	refused.mustHandler(t, s)
	refused.unload()
	s.mustBe(t, 1, 0)

	// With other settings: they differ from those of another config.
	next := newStubConfig(t)
	nextHandler := next.mustHandler(t, s, func(h *Handler) { h.Order = string(queue.Unordered) })
	next.start(t)
	if h.queue.store != nextHandler.queue.store {
		t.Error("the new config opened a store of its own")
	}
	old.unload()
	s.mustBe(t, 1, 0)
	if _, err := serveStub(nextHandler, stubDelivery(stubComment)); err != nil {
		t.Error(err)
	}
	next.unload()
	s.mustBe(t, 1, 1)
}

// TestChangedOptionsTakeEffect opens a store anew for a config with other options, also beside
// the one that the old config uses on.
func TestChangedOptionsTakeEffect(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	s.hold(1)
	changed := &stubStore{key: s.key, option: " changed", free: s.free}
	stubStores.Store(s.key+changed.option, changed)
	refuse := func([]queue.Record) ([]bool, error) { return nil, queue.ErrFull }
	run := func(s *stubStore) (*stubConfig, *Handler) {
		c := newStubConfig(t)
		h := c.mustHandler(t, s)
		c.start(t)
		return c, h
	}
	accept := func(h *Handler, s *stubStore) {
		t.Helper()
		if _, err := serveStub(h, stubDelivery(stubComment)); err != nil || len(s.taken()) != 1 {
			t.Errorf("not accepted with the options of the config: %v", err)
		}
	}
	newest := func(h *Handler) {
		t.Helper()
		if i := slices.IndexFunc(Stores(), func(o *SharedStore) bool { return o.name == s.key }); Stores()[i] != h.queue.store {
			t.Error("it is not the newest store that is shown")
		}
	}
	old, oldHandler := run(s)

	failed, h := run(changed)
	newest(h)
	failed.unload()
	newest(oldHandler)
	changed.mustBe(t, 1, 1)
	accept(oldHandler, s)

	s.accept = refuse
	if _, err := serveStub(oldHandler, stubDelivery(stubComment)); err == nil {
		t.Error("accepted")
	}
	_, h = run(changed)
	newest(h)
	store := h.queue.store
	if since := store.RefusingSince(); !since.IsZero() {
		t.Errorf("refusing since %v, but it was not tried", since)
	}
	changed.accept = refuse
	if _, err := serveStub(h, stubDelivery(stubComment)); err == nil {
		t.Error("accepted")
	}
	if since, want := store.RefusingSince(), oldHandler.queue.store.RefusingSince(); !since.Equal(want) || !errors.Is(store.Refusal(), queue.ErrFull) {
		t.Errorf("refusing since %v, want %v: %v", since, want, store.Refusal())
	}
	changed.accept = nil
	accept(h, changed)
	if since := store.RefusingSince(); !since.IsZero() {
		t.Errorf("refusing since %v, but it accepts", since)
	}
	s.accept = nil
	accept(oldHandler, s)
	old.unload()
	s.mustBe(t, 1, 1)
	if unused.has(s.key) {
		t.Error("a store is warned of that the new config uses")
	}
	accept(h, changed)
}

// TestStoreThatDoesNotAnswer is waited for neither by the start of a config, nor by its end,
// nor by metrics, for longer than a few seconds.
func TestStoreThatDoesNotAnswer(t *testing.T) { // metrics are of all stores: no other test runs
	s := newStubStore(t)
	s.silent = true
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		c := newStubConfig(t)
		h := c.mustHandler(t, s)
		h.queue.logger = zap.New(core)
		for n, do := range []func(){
			func() { c.start(t) },
			func() { gauges{}.Collect(make(chan prometheus.Metric, 100)) },
			c.unload,
		} {
			begun := time.Now()
			do()
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("step %d takes %s", n, took)
			}
		}
		if logs.FilterMessageSnippet("does not answer").Len() != 1 {
			t.Errorf("logged %v", logs.All())
		}
	})
	s.mustBe(t, 1, 1)
}

func TestStoreThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	good, bad := newStubStore(t), &stubStore{key: t.Name() + " bad", openError: errors.New("somebody else has it open")}
	stubStores.Store(bad.key, bad)
	c := newStubConfig(t)
	c.mustHandler(t, good)
	c.mustHandler(t, bad)
	if err := c.app(t).Start(); !errors.Is(err, bad.openError) || !strings.Contains(err.Error(), "instagram_queue") {
		t.Errorf("got %v, want the store's error", err)
	}
	c.unload()
	good.mustBe(t, 1, 1)
	bad.mustBe(t, 0, 0)
}

func TestRefusalIsComplainedAbout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := newStubStore(t)
		o := &SharedStore{Store: s, name: s.key, loggers: []*zap.Logger{zap.New(core)}}
		accept := func(reason error) {
			t.Helper()
			s.accept = func([]queue.Record) ([]bool, error) { return nil, reason }
			if _, err := o.Accept(t.Context(), nil, queue.Admission{}); !errors.Is(err, reason) {
				t.Errorf("got %v, want %v", err, reason)
			}
		}
		lines := func(level string, n int) {
			t.Helper()
			synctest.Wait()
			taken := logs.TakeAll()
			if len(taken) != n {
				t.Fatalf("got %d lines, want %d: %v", len(taken), n, taken)
			}
			for _, line := range taken {
				if line.Level.String() != level || line.ContextMap()["store"] != s.key {
					t.Errorf("got the line %v", line)
				}
			}
		}
		accept(nil)
		lines("", 0)
		start := time.Now()
		accept(queue.ErrFull)
		lines("error", 1)
		time.Sleep(5*time.Minute - 1)
		accept(queue.ErrFull)
		lines("", 0)
		time.Sleep(time.Nanosecond)
		lines("error", 1)
		time.Sleep(7 * time.Minute)
		lines("error", 1)
		accept(queue.ErrVersion)
		if got, why := o.RefusingSince(), o.Refusal(); !got.Equal(start) || !errors.Is(why, queue.ErrVersion) {
			t.Errorf("refusing since %v, want %v: %v", got, start, why)
		}
		accept(nil)
		lines("info", 1)
		if got := o.RefusingSince(); !got.IsZero() || o.Refusal() != nil {
			t.Errorf("refusing since %v, but it accepts: %v", got, o.Refusal())
		}

		// A new refusal is complained about anew, one that has ended is not.
		accept(queue.ErrFull)
		lines("error", 1)
		accept(nil)
		lines("info", 1)
		time.Sleep(time.Hour)
		lines("", 0)

		// Somebody who does not wait for the answer says nothing of the store.
		gone, leave := context.WithCancel(t.Context())
		leave()
		s.accept = func([]queue.Record) ([]bool, error) { return nil, gone.Err() }
		if _, err := o.Accept(gone, nil, queue.Admission{}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		lines("", 0)
	})
}

// TestRefusalIsLoggedByTheNewestConfig has configs come and go, whose logs end
// with them.
func TestRefusalIsLoggedByTheNewestConfig(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	type user struct {
		logger *zap.Logger
		logs   *observer.ObservedLogs
	}
	var store *SharedStore
	use := func() (u user) {
		core, logs := observer.New(zap.InfoLevel)
		u = user{zap.New(core), logs}
		var err error
		if store, err = open(&stubModule{Key: s.key}, u.logger); err != nil {
			t.Fatal(err)
		}
		return u
	}
	expect := func(u user) {
		t.Helper()
		for _, reason := range []error{queue.ErrFull, nil} {
			s.accept = func([]queue.Record) ([]bool, error) { return nil, reason }
			_, _ = store.Accept(t.Context(), nil, queue.Admission{})
		}
		if n := len(u.logs.TakeAll()); n != 2 {
			t.Errorf("%d lines in this log, want 2", n)
		}
	}
	release := func(u user) {
		t.Helper()
		if err := store.release(u.logger); err != nil {
			t.Error(err)
		}
	}
	first := use()
	expect(first)
	second := use()
	expect(second)
	release(first)
	expect(second)
	failed := use()
	release(failed)
	expect(second)
	release(second)
	s.mustBe(t, 1, 1)
}
