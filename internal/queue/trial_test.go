package queue

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/event/sample"
)

// trial is a Dispatcher at work on a store in memory, in a bubble.
type trial struct {
	*Dispatcher
	store Store
	logs  *observer.ObservedLogs
	t     *testing.T
}

// dispatch begins a trial. Options change the policy, say which store it is, put
// something before it, or are a backend whose errors are those of routes.
func dispatch(t *testing.T, backend http.HandlerFunc, options ...any) *trial {
	t.Helper()
	policy := Policy{
		KeepAnswers: true,
		Consumer:    DefaultConsumer,
		First:       time.Second, Max: 10 * time.Minute, For: 36 * time.Hour,
		Timeout: 30 * time.Second, Concurrency: 8,
	}
	core, logs := observer.New(zap.DebugLevel)
	tr := &trial{store: NewMemory(), logs: logs, t: t}
	store := tr.store
	var serve Backend
	if backend != nil {
		serve = answering(backend)
	}
	for _, option := range options {
		switch option := option.(type) {
		case Store:
			tr.store, store = option, option
		case func(Store) Store:
			store = option(store)
		case func(*Policy):
			option(&policy)
		case Backend:
			serve = func(w http.ResponseWriter, r *http.Request) error {
				err := option(w, r)
				if f := new(Failure); err != nil && !errors.As(err, &f) {
					return &Failure{Status: http.StatusInternalServerError, Err: err}
				}
				return err
			}
		default:
			t.Fatalf("option %T", option)
		}
	}
	tr.Dispatcher = NewDispatcher(store, serve, policy, zap.New(core))
	tr.Start()
	t.Cleanup(func() { tr.Stop(time.Second) })
	return tr
}

// answering is a Backend that always answers.
func answering(h http.Handler) Backend {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// record returns the nth event of an order.
func record(order string, n int) Record {
	return Record{
		Identity:     fmt.Sprintf("%s/%d", order, n),
		Conversation: order,
		Field:        "messages",
		URL:          "https://hooks.example.com/webhooks?key=hidden",
		Secret:       "instagram",
		Signature:    [32]byte{0xab, 0xcd},
		Body:         sample.New(uint64(n)).Delivery(sample.Compact, 1, "messages"),
	}
}

// accept stores n events of an order.
func (tr *trial) accept(order string, n int) {
	tr.t.Helper()
	var all []Record
	for i := range n {
		all = append(all, record(order, i+1))
	}
	if _, err := tr.store.Accept(tr.t.Context(), all, Admission{}); err != nil {
		tr.t.Error(err)
	}
}

// events returns what is in the store, the oldest first.
func (tr *trial) events() []Event {
	events, err := tr.store.List(tr.t.Context(), Filter{})
	if err != nil {
		tr.t.Error(err)
	}
	slices.Reverse(events)
	return events
}

// only waits until all that can happen now has, and returns the one event.
func (tr *trial) only() Event {
	tr.t.Helper()
	synctest.Wait()
	events := tr.events()
	if len(events) != 1 {
		tr.t.Fatalf("%d events, want 1", len(events))
	}
	return events[0]
}

// states counts the events by state.
func (tr *trial) states() map[State]int {
	count := make(map[State]int)
	for _, e := range tr.events() {
		count[e.State]++
	}
	return count
}

func (tr *trial) expect(want map[State]int) {
	tr.t.Helper()
	synctest.Wait()
	if got := tr.states(); !maps.Equal(got, want) {
		tr.t.Errorf("events: %v, want %v", got, want)
	}
}

// ledger writes down what a backend gets, and finds fault with it.
type ledger struct {
	t *testing.T

	mu    sync.Mutex
	got   []string // identities
	order map[string]string
	now   int // attempts under way
	most  int
}

func newLedger(t *testing.T) *ledger { return &ledger{t: t, order: make(map[string]string)} }

// enter notes that an attempt begins, and returns what is to be called at its
// end.
func (l *ledger) enter(r *http.Request) (leave func()) {
	id := r.Header.Get("Idempotency-Key")
	order := path.Dir(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if other := l.order[order]; other != "" {
		l.t.Errorf("%s while %s is under way", id, other)
	}
	l.order[order] = id
	l.got = append(l.got, id)
	l.now++
	l.most = max(l.most, l.now)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.order[order] = ""
		l.now--
	}
}

// of returns the identities of an order, as they came.
func (l *ledger) of(order string) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.got {
		if path.Dir(id) == order {
			ids = append(ids, id)
		}
	}
	return ids
}

// attempts returns how many began so far, and how many are and were under way at
// the same time.
func (l *ledger) attempts() (all, now, most int) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got), l.now, l.most
}

// reset forgets what came so far.
func (l *ledger) reset() {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got, l.most = nil, l.now
}

// hang waits for the end of an attempt, as a backend that never answers.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
