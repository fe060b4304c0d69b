package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

// secretMarker is in the query of each URL, and must be in no output.
const secretMarker = "s3cr3t"

// queueServer is Caddy's admin endpoint with stores behind it.
type queueServer struct {
	*httptest.Server
	stores []admin.Store

	mu       sync.Mutex
	requests []string
}

// newQueueServer starts an endpoint with these stores.
func newQueueServer(t testing.TB, stores ...admin.Store) *queueServer {
	t.Helper()
	s := &queueServer{stores: stores}
	api := &admin.API{Stores: func() []admin.Store { return s.stores }}
	handler := api.Handler()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.String())
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// asked returns the requests that begin with prefix.
func (s *queueServer) asked(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, request := range s.requests {
		if strings.HasPrefix(request, prefix) {
			n++
		}
	}
	return n
}

// run runs `caddy instagram queue` on the endpoint.
func (s *queueServer) run(t testing.TB, args ...string) ran {
	t.Helper()
	return runQueue(t, append(args, "--address", s.Listener.Addr().String())...)
}

// ran is what came of a command.
type ran struct {
	status      int
	out, errors string
}

func runQueue(t testing.TB, args ...string) ran {
	t.Helper()
	return runQueueUntil(t, t.Context(), args...)
}

func runQueueUntil(t testing.TB, ctx context.Context, args ...string) ran {
	t.Helper()
	r := runCommand(ctx, "", append([]string{"queue"}, args...)...)
	for name, text := range map[string]string{"standard output": r.out, "standard error": r.errors} {
		if strings.Contains(text, secretMarker) {
			t.Errorf("%v: a secret is in the %s: %s", args, name, text)
		}
		if !slices.Contains(args, "--json") && strings.ContainsAny(text, "\x1b\u009b") {
			t.Errorf("%v: the %s would be obeyed by a terminal: %q", args, name, text)
		}
	}
	return r
}

// runCommand runs `caddy instagram` with a standard input.
func runCommand(ctx context.Context, in string, args ...string) ran {
	var out bytes.Buffer
	r := runCommandTo(ctx, &out, in, args...)
	r.out = out.String()
	return r
}

// runCommandTo is runCommand with a standard output.
func runCommandTo(ctx context.Context, out io.Writer, in string, args ...string) ran {
	top := &cobra.Command{Use: "instagram", SilenceUsage: true} // as Caddy's root has it
	root(top)
	var errs bytes.Buffer
	top.SetIn(strings.NewReader(in))
	top.SetOut(out)
	top.SetErr(&errs)
	top.SetArgs(args)
	err := top.ExecuteContext(ctx)
	r := ran{errors: errs.String()}
	if err != nil {
		// Only Caddy knows the type that tells the exit code.
		r.status = 1
		if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct && v.FieldByName("ExitCode").IsValid() {
			r.status = int(v.FieldByName("ExitCode").Int())
		}
	}
	return r
}

// want fails if a command ended otherwise, or did not print something.
func (r ran) want(t testing.TB, status int, out, errs string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.out, out) || !strings.Contains(r.errors, errs) || errs == "" && r.errors != "" {
		t.Errorf("exit code %d, want %d and %q and %q\n%s\n%s", r.status, status, out, errs, r.out, r.errors)
	}
}

// decode reads the one JSON object that a command printed.
func decode[T any](t testing.TB, r ran) (v T) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(r.out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil || decoder.More() {
		t.Fatalf("%v in %s", err, r.out)
	}
	return v
}

// newQueue returns a store in a new file, and the path.
func newQueue(t testing.TB) (queue.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	return openQueue(t, path), path
}

func openQueue(t testing.TB, path string) queue.Store {
	t.Helper()
	store, err := sqlite.Open(path, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQueue(t, store) })
	return store
}

// statsOf returns those of the default consumer.
func statsOf(t testing.TB, s queue.Store) (queue.Stats, error) {
	stats, err := s.Stats(t.Context())
	return queue.StatsOf(stats, queue.DefaultConsumer), err
}

func closeQueue(t testing.TB, store queue.Store) {
	t.Helper()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// commented returns the delivery of n comments.
func commented(n int) []event.Event {
	var changes []string
	for i := range n {
		changes = append(changes, fmt.Sprintf(`{"field": "comments", "value":{"id":"%d","text":"a\u00e4<>"}}`, i+1))
	}
	return event.Split(fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"17841400000000001","time":1767225600,"changes":[%s]}]}`,
		strings.Join(changes, ",")))
}

// accept stores events for the default consumer and returns them.
func accept(t testing.TB, store queue.Store, events ...event.Event) []event.Event {
	t.Helper()
	return acceptFor(t, store, nil, events...)
}

func acceptFor(t testing.TB, store queue.Store, consumers []string, events ...event.Event) []event.Event {
	t.Helper()
	records := make([]queue.Record, len(events))
	for i := range events {
		e := &events[i]
		records[i] = queue.Record{
			Identity: e.ID(), Account: e.Account, Field: e.Field, Body: e.Envelope(),
			URL: "https://hooks.example.com/webhooks?token=" + secretMarker, Secret: "instagram",
		}
	}
	if _, err := store.Accept(t.Context(), records, queue.Admission{Consumers: consumers}); err != nil {
		t.Fatal(err)
	}
	return events
}

// settle leases all that is due and settles it.
func settle(t testing.TB, store queue.Store, outcome queue.Outcome) {
	t.Helper()
	var group errgroup.Group // they share commits
	for _, e := range lease(t, store) {
		group.Go(func() error { return store.Settle(t.Context(), e, outcome) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func lease(t testing.TB, store queue.Store) []*queue.Event {
	t.Helper()
	events, _, err := store.Lease(t.Context(), queue.DefaultConsumer, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

var (
	dead  = queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "status 410"}}
	later = queue.Outcome{State: queue.Pending, Due: time.Now().Add(24 * time.Hour), Attempt: queue.Attempt{Error: "status 500 \x1b[31m\u009b" + strings.Repeat("long ", 100)}}
)

// nobody returns an address that nobody listens on, nor can get before a test is
// done with it: its port is that of a service that is extinct.
func nobody(testing.TB) string { return "127.0.0.1:1" }

// faulty is a store of which some methods fail.
type faulty struct {
	queue.Store
	discard, requeue, check error
	list                    func(calls int) error
	calls                   int
}

func (f *faulty) Discard(ctx context.Context, consumer string, id uint64) error {
	return errors.Join(f.discard, f.Store.Discard(ctx, consumer, id))
}

func (f *faulty) Requeue(ctx context.Context, filter queue.Filter, interval time.Duration) (int, error) {
	n, err := f.Store.Requeue(ctx, filter, interval)
	return n, errors.Join(f.requeue, err)
}

func (f *faulty) List(ctx context.Context, filter queue.Filter) ([]queue.Event, error) {
	if f.list != nil && !filter.Bodies {
		if f.calls++; f.list(f.calls) != nil {
			return nil, f.list(f.calls)
		}
	}
	return f.Store.List(ctx, filter)
}

func (f *faulty) Check(context.Context) error { return f.check }

func (f *faulty) Backup(context.Context, string) error { return f.check }

func (f *faulty) Compact(context.Context) (int64, int64, error) { return 0, 0, f.check }
