package queue

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/memory"
)

func init() {
	caddy.RegisterModule(new(stubApp))
}

// stubApp is a handler that has an application of the test answer.
type stubApp struct {
	Key string `json:"key,omitempty"`
}

func (*stubApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.stub_app", New: func() caddy.Module { return new(stubApp) }}
}

func (a *stubApp) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	app, _ := applications.Load(a.Key)
	status := app.(*application).answer(r)
	if err := r.Context().Err(); err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
}

var applications sync.Map // of *application by key

// application remembers the attempts to deliver events to a consumer.
type application struct {
	name string
	key  string

	mu       sync.Mutex
	status   int           // of answers
	hold     chan struct{} // if set, answers are held until it is closed or the attempt is cut
	attempts []attempt
}

type attempt struct {
	identity, consumer string
	at                 time.Time
}

func newApplication(t *testing.T, name string) *application {
	a := &application{name: name, key: t.Name() + "/" + name, status: http.StatusOK}
	applications.Store(a.key, a)
	t.Cleanup(func() { applications.Delete(a.key) })
	return a
}

func (a *application) answer(r *http.Request) int {
	a.mu.Lock()
	a.attempts = append(a.attempts, attempt{r.Header.Get("Idempotency-Key"), r.Header.Get("X-Instagram-Consumer"), time.Now()})
	status, hold := a.status, a.hold
	a.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	return status
}

// behave sets what is answered from now on.
func (a *application) behave(status int, hold chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.hold = status, hold
}

// got returns the attempts since the last call, once nothing happens any more.
func (a *application) got(t *testing.T) (attempts []attempt) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	attempts, a.attempts = a.attempts, nil
	for _, one := range attempts {
		if one.consumer != a.name {
			t.Errorf("an attempt for %s says that it is for %q", a.name, one.consumer)
		}
	}
	return attempts
}

// expect fails the test if the application did not get these events, by the beginnings
// of their identities, in any order.
func (a *application) expect(t *testing.T, identities ...string) {
	t.Helper()
	var got []string
	for _, one := range a.got(t) {
		got = append(got, one.identity)
	}
	slices.Sort(got)
	if !slices.EqualFunc(got, identities, strings.HasPrefix) {
		t.Errorf("%s got %q, want %q", a.name, got, identities)
	}
}

// consumer returns the config of a consumer with this application.
func (a *application) consumer(adjust ...func(*Named)) Named {
	c := Named{Name: a.name, Consumer: Consumer{Routes: stubRoutes(fmt.Sprintf(`{"handler":"stub_app","key":%q}`, a.key))}}
	for _, f := range adjust {
		f(&c)
	}
	return c
}

// queueTest has a store in memory and configs that use it, in a bubble of synctest.
type queueTest struct {
	*testing.T
	store queue.Store
}

// withMemory runs a test whose configs keep their queue in memory.
func withMemory(t *testing.T, test func(q *queueTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := &queueTest{T: t, store: memory.New()}
		stubStores.Store(t.Name(), q.store)
		t.Cleanup(func() { stubStores.Delete(t.Name()) })
		test(q)
		unused.remove(t.Name()) // its timer is of this bubble
	})
}

// runs starts a config with these consumers.
func (q *queueTest) runs(consumers ...Named) (*Handler, *stubConfig) {
	q.Helper()
	c := newStubConfig(q)
	store, err := json.Marshal(map[string]string{"module": "stub", "key": q.Name()})
	if err != nil {
		q.Fatal(err)
	}
	h := c.mustHandler(q, &stubStore{}, func(h *Handler) {
		h.StoreRaw, h.Routes, h.Consumers = store, nil, consumers
	})
	c.start(q)
	return h, c
}

// accept has a handler accept a delivery.
func (q *queueTest) accept(h *Handler, body string) {
	q.Helper()
	if w, err := serveStub(h, stubDelivery(body)); err != nil || w.Code != http.StatusOK {
		q.Errorf("a delivery is answered with %d, %v", w.Code, err)
	}
}

// message returns a delivery with a message of a conversation.
func message(conversation string, n int) string {
	return fmt.Sprintf(`{"object":"instagram","entry":[{"id":"178","time":1767225600000,"messaging":[{"sender":{"id":"%s"},`+
		`"recipient":{"id":"178"},"timestamp":1767225600000,"message":{"mid":"%s.%d","text":"x"}}]}]}`, conversation, conversation, n)
}

// pending returns how many events wait for each consumer.
func (q *queueTest) pending() map[string]int64 {
	q.Helper()
	synctest.Wait()
	all, err := q.store.Stats(q.Context())
	if err != nil {
		q.Error(err)
	}
	pending := make(map[string]int64)
	for _, stats := range all {
		pending[stats.Consumer] = stats.Pending
	}
	return pending
}

func (q *queueTest) expectPending(want map[string]int64) {
	q.Helper()
	if got := q.pending(); !maps.Equal(got, want) {
		q.Errorf("%v wait, want %v", got, want)
	}
}
