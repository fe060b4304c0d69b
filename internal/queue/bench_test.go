package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/event"
)

const workers = 32

// endless is a Store that costs nothing: it has n events, all of them due.
type endless struct {
	Store
	left  atomic.Int64
	done  sync.WaitGroup
	event Event
}

func (s *endless) Lease(ctx context.Context, _ string, limit int) ([]*Event, context.Context, error) {
	n := min(int(s.left.Load()), limit)
	if n <= 0 {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	s.left.Add(-int64(n))
	events := make([]*Event, n)
	for i := range events {
		events[i] = new(s.event)
	}
	return events, ctx, nil
}

func (s *endless) Settle(context.Context, *Event, Outcome) error {
	s.done.Done()
	return nil
}

func (s *endless) Expire(context.Context, Retention) (bool, error) { return false, nil }

// newDrain returns a Dispatcher of b.N events.
func newDrain(b *testing.B, backend Backend) (*Dispatcher, *endless) {
	s := &endless{event: Event{Record: record("a", 1), Accepted: time.Now()}}
	s.left.Store(int64(b.N))
	s.done.Add(b.N)
	return NewDispatcher(s, backend, Policy{Timeout: time.Minute, Concurrency: workers, For: time.Hour}, zap.NewNop()), s
}

// BenchmarkDispatch is what the Dispatcher adds to each event, beside the store
// and the backend.
func BenchmarkDispatch(b *testing.B) {
	d, s := newDrain(b, func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(200); return nil })
	b.ReportAllocs()
	b.ResetTimer()
	d.Start()
	s.done.Wait()
	b.StopTimer()
	d.Stop(0)
}

// BenchmarkRequest is the part of it that goes into making requests.
func BenchmarkRequest(b *testing.B) {
	e := &Event{Record: record("a", 1)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewRequest(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// newProxy returns Caddy's reverse_proxy before an application that takes
// everything.
func newProxy(b *testing.B) Backend {
	b.Helper()
	application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(application.Close)
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		b.Fatal(err)
	}
	var routes caddyhttp.RouteList
	config := fmt.Sprintf(`[{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":%q}]}]}]`, application.Listener.Addr())
	if err := json.Unmarshal([]byte(config), &routes); err != nil {
		b.Fatal(err)
	}
	if err := routes.Provision(ctx); err != nil {
		b.Fatal(err)
	}
	chain := routes.Compile(caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(http.StatusNotFound, nil) }))
	return func(w http.ResponseWriter, r *http.Request) error {
		return chain.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server)))
	}
}

// BenchmarkDirect drives reverse_proxy directly. It is the measure for
// BenchmarkDrain.
func BenchmarkDirect(b *testing.B) {
	proxy := newProxy(b)
	made, err := NewRequest(context.Background(), &Event{Record: record("a", 1)})
	if err != nil {
		b.Fatal(err)
	}
	body := event.FromContext(made.Context()).Body
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				r := made.Clone(made.Context())
				r.Body = io.NopCloser(bytes.NewReader(body))
				a := newAnswer(r.Context(), false)
				if err := proxy(a, r); err != nil || a.status != 200 {
					b.Errorf("%d: %s %v", a.status, a.text, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkDrain delivers a backlog to the same reverse_proxy.
func BenchmarkDrain(b *testing.B) {
	d, s := newDrain(b, newProxy(b))
	b.ReportAllocs()
	b.ResetTimer()
	d.Start()
	s.done.Wait()
	b.StopTimer()
	d.Stop(0)
}
