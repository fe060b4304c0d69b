package queue

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestStoreOfANewerVersion has a config start beside a store that cannot be read, and the
// next one try again.
func TestStoreOfANewerVersion(t *testing.T) {
	t.Parallel()
	newer, good := newStubStore(t), &stubStore{key: t.Name() + " good"}
	newer.openError = fmt.Errorf("%w: a store", queue.ErrVersion)
	stubStores.Store(good.key, good)
	t.Cleanup(func() { stubStores.Delete(good.key) })

	c := newStubConfig(t)
	refused, works := c.mustHandler(t, newer), c.mustHandler(t, good)
	c.start(t)
	store := refused.queue.store
	if store.RefusingSince().IsZero() || store.Name() != newer.key {
		t.Errorf("%s refuses since %v", store.Name(), store.RefusingSince())
	}
	if _, err := store.Stats(t.Context()); !errors.Is(err, queue.ErrVersion) {
		t.Errorf("it says how much it holds, with %v", err)
	}
	m, hasFile := store.Store.(queue.Maintainer)
	if !hasFile || !errors.Is(m.Check(t.Context()), queue.ErrVersion) || !errors.Is(m.Backup(t.Context(), "copy.db"), queue.ErrVersion) {
		t.Error("it does not say what is wrong with its file")
	}
	d := stubDelivery(stubComment)
	_, err := serveStub(refused, d)
	if got := stubStatus(t, err); got != http.StatusServiceUnavailable || !errors.Is(err, queue.ErrVersion) || d.Accepted() {
		t.Errorf("a delivery is answered with %d, %v", got, err)
	}
	if _, err := serveStub(works, stubDelivery(stubComment)); err != nil || len(good.taken()) != 1 {
		t.Errorf("the other queue does not work: %v", err)
	}

	still := newStubConfig(t) // cannot read it either
	still.mustHandler(t, newer)
	still.start(t)
	onlyStore(t, newer.key)
	c.unload()

	newer.openError = nil
	next := newStubConfig(t)
	again := next.mustHandler(t, newer)
	next.start(t)
	if got := onlyStore(t, newer.key); got != again.queue.store {
		t.Errorf("during the reload, the store is the one that %v", got.Store)
	}
	still.unload()
	if _, err := serveStub(again, stubDelivery(stubComment)); err != nil || len(newer.taken()) != 1 {
		t.Errorf("the store that can be opened does not work: %v", err)
	}
	next.unload()
	newer.mustBe(t, 1, 1)
	for _, s := range Stores() {
		if s == store {
			t.Error("the store that could not be opened is still there")
		}
	}
}

// onlyStore returns the store with a name, which the gauges show once.
func onlyStore(t *testing.T, name string) *SharedStore {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(gauges{})
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
	var found []*SharedStore
	for _, s := range Stores() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d stores have the name %s", len(found), name)
	}
	return found[0]
}
