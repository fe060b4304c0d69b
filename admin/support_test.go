package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

const testAccount = "17841400000000001"

// newStore returns a store in a file, with the given name.
func newStore(t testing.TB, name string) Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "queue.db"), zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	return Store{Store: s, Name: name}
}

// statsOf returns those of the default consumer.
func statsOf(t testing.TB, s queue.Store) (queue.Stats, error) {
	stats, err := s.Stats(t.Context())
	return queue.StatsOf(stats, queue.DefaultConsumer), err
}

// record is an event whose URL has a query and which has a signature: neither
// must be shown.
func record(n int) queue.Record {
	return queue.Record{
		Identity:  fmt.Sprintf("instagram/%s/comments/%d", testAccount, n),
		Account:   testAccount,
		Field:     "comments",
		URL:       "https://hooks.example.com/webhooks?token=s3cr3t",
		Secret:    "instagram",
		Signature: [32]byte([]byte("s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr")),
		Body:      fmt.Appendf(nil, `{"object": "instagram", "n": %d}`, n),
	}
}

func accept(t testing.TB, s queue.Store, records ...queue.Record) {
	t.Helper()
	if _, err := s.Accept(t.Context(), records, queue.Admission{}); err != nil {
		t.Fatal(err)
	}
}

// settle leases all events that are due and settles them.
func settle(t testing.TB, s queue.Store, outcome queue.Outcome) {
	t.Helper()
	var group errgroup.Group // they share commits
	for _, e := range lease(t, s) {
		group.Go(func() error { return s.Settle(t.Context(), e, outcome) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func lease(t testing.TB, s queue.Store) []*queue.Event {
	t.Helper()
	events, _, err := s.Lease(t.Context(), queue.DefaultConsumer, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// serve answers a request as Caddy's admin endpoint does.
func serve(stores []Store, method, target string) *httptest.ResponseRecorder {
	return serveContext(context.Background(), stores, method, target)
}

func serveContext(ctx context.Context, stores []Store, method, target string) *httptest.ResponseRecorder {
	return serveAPI(ctx, &API{Stores: func() []Store { return stores }}, method, target)
}

func serveAPI(ctx context.Context, api *API, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	api.Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil).WithContext(ctx))
	return w
}

// get decodes the answer to a request, which must have the status 200.
func get[T any](t testing.TB, stores []Store, method, target string) (v T) {
	t.Helper()
	return decode[T](t, serve(stores, method, target))
}

// decode reads an answer, which must have the status 200.
func decode[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return v
}

// inAnHour makes an event wait for another attempt.
func inAnHour() queue.Outcome {
	return queue.Outcome{State: queue.Pending, Due: time.Now().Add(time.Hour), Attempt: queue.Attempt{Error: "status 500"}}
}

// newFullStore returns a store with an event in each state: 1 and the message 2 are
// dead, 3 is delivered, 4 waits for another attempt, 5 is being delivered, and 6
// waits for its first.
func newFullStore(t testing.TB) Store {
	t.Helper()
	store := newStore(t, "q")
	message := record(2)
	message.Field, message.Account = "messages", "1"
	accept(t, store, record(1), message)
	settle(t, store, queue.Outcome{State: queue.Dead})
	accept(t, store, record(3))
	settle(t, store, queue.Outcome{State: queue.Delivered})
	accept(t, store, record(4))
	settle(t, store, inAnHour())
	accept(t, store, record(5))
	lease(t, store)
	accept(t, store, record(6))
	return store
}
