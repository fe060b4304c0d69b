package queue

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

func init() {
	caddy.RegisterModule(new(stubModule))
}

// stubModule opens the store that is known under its name and option.
type stubModule struct {
	Key    string `json:"key,omitempty"`
	Option string `json:"option,omitempty"`
}

func (*stubModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_queue.stores.stub",
		New: func() caddy.Module { return new(stubModule) },
	}
}

func (m *stubModule) Name() string { return m.Key }

func (m *stubModule) Options() any { return m.Option }

func (m *stubModule) Open(func() *zap.Logger) (queue.Store, error) {
	value, ok := stubStores.Load(m.Key + m.Option)
	if !ok {
		return nil, errors.New("no stub store has this key")
	}
	s, ok := value.(*stubStore)
	if !ok {
		return value.(queue.Store), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.openError != nil {
		return nil, s.openError
	}
	s.opened++
	return s, nil
}

var stubStores sync.Map // of queue.Store by key

// stubStore remembers what it was asked to accept, and never has anything to
// deliver.
type stubStore struct {
	key    string
	option string
	accept func([]queue.Record) ([]bool, error) // what Accept does besides; may be nil

	openError error
	free      int64

	silent bool // Stats does not answer

	mu             sync.Mutex
	stats          []queue.Stats
	records        []queue.Record
	admission      queue.Admission
	joined         []queue.Consumer
	opened, closed int
}

func newStubStore(t testing.TB) *stubStore {
	s := &stubStore{key: t.Name(), free: 1 << 40}
	stubStores.Store(s.key, s)
	t.Cleanup(func() { stubStores.Delete(s.key) })
	return s
}

// Join remembers who has joined.
func (s *stubStore) Join(_ context.Context, consumers []queue.Consumer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined = consumers
	return nil
}

func (s *stubStore) Accept(_ context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	var duplicates []bool
	if s.accept != nil {
		var err error
		if duplicates, err = s.accept(records); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		r.Body = slices.Clone(r.Body) // it is the handler's
		s.records = append(s.records, r)
	}
	s.admission = admission
	return duplicates, nil
}

// taken returns what was accepted so far, and forgets it.
func (s *stubStore) taken() []queue.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records = nil
	return records
}

// uses returns how often the store was opened and closed.
func (s *stubStore) uses() (opened, closed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.closed
}

func (s *stubStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *stubStore) Lease(ctx context.Context, _ string, _ int) ([]*queue.Event, context.Context, error) {
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

func (s *stubStore) Settle(context.Context, *queue.Event, queue.Outcome) error { return nil }
func (s *stubStore) List(context.Context, queue.Filter) ([]queue.Event, error) { return nil, nil }
func (s *stubStore) Last(context.Context) (uint64, error)                      { return 0, nil }
func (s *stubStore) Erase(context.Context, queue.Erasure) (int, error)         { return 0, nil }
func (s *stubStore) Discard(context.Context, string, uint64) error             { return queue.ErrNotFound }
func (s *stubStore) Pause(context.Context, string, bool) error                 { return nil }
func (s *stubStore) Drop(context.Context, string) error                        { return nil }
func (s *stubStore) Expire(context.Context, queue.Retention) (bool, error)     { return false, nil }
func (s *stubStore) Free(context.Context) (int64, error)                       { return s.free, nil }

func (s *stubStore) Stats(ctx context.Context) ([]queue.Stats, error) {
	if s.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats, nil
}

// hold has the store say that so many events are pending.
func (s *stubStore) hold(pending int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = []queue.Stats{{Consumer: queue.DefaultConsumer, Pending: pending}}
}

func (s *stubStore) Requeue(context.Context, queue.Filter, time.Duration) (int, error) { return 0, nil }

// module returns the config of the store.
func (s *stubStore) module() json.RawMessage {
	config, err := json.Marshal(map[string]string{"module": "stub", "key": s.key, "option": s.option})
	if err != nil {
		panic(err)
	}
	return config
}

// stubConfig is a Caddy config that handlers can be provisioned in.
type stubConfig struct {
	caddy.Context
	unload func()
}

// provisioning keeps Caddy from setting its global variables twice at a time.
var provisioning sync.Mutex

func newStubConfig(t testing.TB) *stubConfig {
	t.Helper()
	provisioning.Lock()
	defer provisioning.Unlock()
	ctx, err := caddy.ProvisionContext(new(caddy.Config))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	c := &stubConfig{Context: ctx}
	c.unload = sync.OnceFunc(func() {
		if err := c.app(t).Stop(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	t.Cleanup(c.unload)
	return c
}

func (c *stubConfig) app(t testing.TB) *app.App {
	t.Helper()
	services, err := app.Of(c.Context)
	if err != nil {
		t.Fatal(err)
	}
	return services
}

// stubRoutes returns a route with a handler.
func stubRoutes(handler string) caddyhttp.RouteList {
	return caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{[]byte(handler)}}}
}

// handler provisions a handler with the store and a route.
func (c *stubConfig) handler(s *stubStore, adjust ...func(*Handler)) (*Handler, error) {
	h := &Handler{
		StoreRaw: s.module(),
		Consumer: Consumer{Routes: stubRoutes(`{"handler":"static_response"}`)},
	}
	for _, a := range adjust {
		a(h)
	}
	config, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	module, err := c.LoadModuleByID("http.handlers.instagram_queue", config)
	if err != nil {
		return nil, err
	}
	return module.(*Handler), nil
}

func (c *stubConfig) mustHandler(t testing.TB, s *stubStore, adjust ...func(*Handler)) *Handler {
	t.Helper()
	h, err := c.handler(s, adjust...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (c *stubConfig) start(t testing.TB) {
	t.Helper()
	if err := c.app(t).Start(); err != nil {
		t.Fatal(err)
	}
}

// startedHandler returns a handler of a config that runs.
func startedHandler(t testing.TB, s *stubStore, adjust ...func(*Handler)) *Handler {
	t.Helper()
	c := newStubConfig(t)
	h := c.mustHandler(t, s, adjust...)
	c.start(t)
	return h
}

// serveStub sends a delivery, or, if d is nil, what was not authenticated,
// through h to the callback URL of the tests.
func serveStub(h *Handler, d *event.Delivery) (*httptest.ResponseRecorder, error) {
	return serveStubTo(h, d, httptest.NewRequest(http.MethodPost, "https://hooks.example.com/webhooks", nil))
}

func serveStubTo(h *Handler, d *event.Delivery, r *http.Request) (*httptest.ResponseRecorder, error) {
	if d != nil {
		r = r.WithContext(event.NewContext(r.Context(), d))
	}
	w := httptest.NewRecorder()
	w.Code = 0 // until it is written
	err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return errors.New("the next handler was called")
	}))
	return w, err
}
