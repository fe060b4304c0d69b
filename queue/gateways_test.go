package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// sharedStub is a store that other gateways use, too.
type sharedStub struct {
	*stubStore

	mu         sync.Mutex
	this       queue.Gateway
	others     []queue.Gateway
	generation int64
	away       error
	forgets    bool // who joins
	settings   map[string]string
	recipients []queue.Recipient
}

func newSharedStub(t testing.TB) *sharedStub {
	s := &sharedStub{stubStore: newStubStore(t), generation: 1}
	stubStores.Store(s.key, s)
	return s
}

func (s *sharedStub) Describe(settings map[string]string, recipients []queue.Recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings, s.recipients = settings, recipients
}

func (s *sharedStub) Gateways(context.Context) ([]queue.Gateway, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	this := s.this
	this.Name, this.This, this.Recipients = "this", true, []queue.Recipient{{Name: "gone"}} // as it was before a reload
	return append([]queue.Gateway{this}, s.others...), s.generation, s.away
}

func (s *sharedStub) Join(ctx context.Context, consumers []queue.Consumer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation++; s.forgets {
		return nil
	}
	return s.stubStore.Join(ctx, consumers)
}

func (s *sharedStub) Refuses() error { return nil }

func (s *sharedStub) Accept(ctx context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	s.mu.Lock()
	outdated := admission.Generation != s.generation
	s.mu.Unlock()
	if outdated {
		return nil, queue.ErrOutdated
	}
	if s.joined == nil {
		return nil, queue.ErrNoConsumer
	}
	return s.stubStore.Accept(ctx, records, admission)
}

// change has other gateways have these consumers.
func (s *sharedStub) change(recipients ...queue.Recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = []queue.Gateway{{Name: "other", Recipients: recipients}}
	s.generation++
}

// TestOtherGatewaysGetWhatIsAccepted accepts for the consumers of all gateways as they are
// at this moment, even what nobody here wants.
func TestOtherGatewaysGetWhatIsAccepted(t *testing.T) {
	t.Parallel()
	s := newSharedStub(t)
	s.away = errors.New("the database is away")
	h := startedHandler(t, s.stubStore, func(h *Handler) { h.Fields = []string{"messages"} })
	expect := func(when, want string) {
		t.Helper()
		if _, err := serveStub(h, stubDelivery(stubComment)); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		got := ""
		for _, r := range s.taken() {
			got += r.Field
			for i, name := range s.admission.Consumers {
				if r.IsFor(i) {
					got += " " + name
				}
			}
		}
		if got != want {
			t.Errorf("%s: accepted %q, want %q", when, got, want)
		}
	}
	if _, err := serveStub(h, stubDelivery(stubComment)); err == nil {
		t.Error("acknowledged what another gateway may want, which is not known")
	}
	if store := h.queue.store; store.RefusingSince().IsZero() || !errors.Is(store.Refusal(), s.away) {
		t.Errorf("refusing since %v: %v", store.RefusingSince(), store.Refusal())
	}
	s.away = nil
	expect("alone", "")
	s.change(queue.Recipient{Name: "bot"}, queue.Recipient{Name: "crm", Fields: []string{"messages"}})
	expect("another gateway has a bot", "comments bot")
	s.change(queue.Recipient{Name: queue.DefaultConsumer})
	expect("another gateway wants more for a consumer", "comments default")
	s.change(queue.Recipient{Name: queue.DefaultConsumer, Matching: true}, queue.Recipient{Name: "picky", Matching: true})
	expect("another gateway has matchers", "comments picky")
	s.change()
	expect("the other one wants nothing", "")
	if fmt.Sprint(s.recipients) != "[{default [messages] false}]" || s.settings["fields"] != "messages" || s.settings["dedupe"] != "48h" || s.settings["alert oldest"] != "off" {
		t.Errorf("others know of %v and %v", s.recipients, s.settings)
	}
	if since := h.queue.store.RefusingSince(); !since.IsZero() || h.queue.store.Refusal() != nil {
		t.Errorf("refusing since %v: %v", since, h.queue.store.Refusal())
	}
}

// TestConsumerIsMissing has the consumers of the config join again when one is missing that
// something is accepted for, and refuses deliveries if that does not help.
func TestConsumerIsMissing(t *testing.T) {
	t.Parallel()
	s := newSharedStub(t)
	h := startedHandler(t, s.stubStore)
	for _, forgets := range []bool{false, true} {
		s.forgets, s.joined = forgets, nil
		s.change()
		_, err := serveStub(h, stubDelivery(stubComment))
		if refuses := !h.queue.store.RefusingSince().IsZero(); refuses != forgets || forgets != errors.Is(err, queue.ErrNoConsumer) {
			t.Errorf("forgets %t: %v, refuses: %t", forgets, err, refuses)
		}
	}
}

// TestDescribed says what options are, as one would write them, and nothing of the routes.
func TestDescribed(t *testing.T) {
	t.Parallel()
	h := startedHandler(t, newStubStore(t), func(h *Handler) {
		h.MaxPending = 5
		h.Keep.Dead = new(caddy.Duration(36e12 + 5e9))
		routes := h.Routes
		h.Routes = nil
		h.Consumers = []Named{
			{Name: "crm", MatcherSetsRaw: caddyhttp.RawMatcherSets{{"method": json.RawMessage(`["POST"]`)}}, Consumer: Consumer{Fields: []string{"messages", "comments"}, Rate: .5, DeadStatus: []int{422, 409}, Routes: routes}},
			{Name: queue.DefaultConsumer, Consumer: Consumer{Order: "none", Timeout: caddy.Duration(90e9), Routes: routes}},
		}
	})
	got := h.described()
	for name, want := range map[string]string{
		"dedupe": "48h", "keep delivered": "24h", "keep dead": "10h0m5s", "keep answers": "true", "unsent": "keep", "max_pending": "5", "max_pending, in bytes": "no limit",
		"fields of crm": "comments messages", "order of crm": "conversation", "matcher of crm": "68966c45", "matcher": "none", "retry of crm": "first 1s max 10m for 36h", "timeout of crm": "30s",
		"concurrency of crm": "32", "rate of crm": "0.5", "dead of crm": "[409 422]",
		"fields": "all", "order": "none", "retry": "first 1s max 10m for 36h", "timeout": "1m30s", "concurrency": "32", "rate": "no limit", "dead": "[]",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("there is more: %q", got)
	}
}

// TestOldConfigIsNoOtherGateway has a config with other options of the store leave out a
// consumer that the old one has, which looks like another gateway.
func TestOldConfigIsNoOtherGateway(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	old := &SharedStore{Store: s, name: s.key, running: []*runner{{handler: &Handler{Consumers: []Named{wants("bot")}}}}}
	key := storeKey{s.key, "old"}
	if _, _, err := stores.LoadOrNew(key, func() (caddy.Destructor, error) { return old, nil }); err != nil {
		t.Fatal(err)
	}
	next := &SharedStore{Store: s, name: s.key}
	bot := queue.Gateway{Recipients: []queue.Recipient{{Name: "bot"}}}
	for gateways, elsewhere := range []bool{false, false, true} {
		next.others = slices.Repeat([]queue.Gateway{bot}, gateways)
		if got := next.isElsewhere("bot"); got != elsewhere {
			t.Errorf("of %d gateways that have it, one is another: %t", gateways, got)
		}
	}
	if _, err := stores.Delete(key); err != nil {
		t.Error(err)
	}
}
