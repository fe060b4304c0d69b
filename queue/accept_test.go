package queue

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

func TestHandlerFields(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fields []string
		want   []string // identities
	}{
		{nil, []string{"instagram/178/comments/1", "instagram/178/mentions/2/3", "instagram/179/comments/4", "instagram/179/of_tomorrow/"}},
		{[]string{"comments"}, []string{"instagram/178/comments/1", "instagram/179/comments/4"}},
		{[]string{"mentions", "messages"}, []string{"instagram/178/mentions/2/3"}},
		{[]string{"messages"}, nil},
	} {
		t.Run(strings.Join(tc.fields, ","), func(t *testing.T) {
			t.Parallel()
			s := newStubStore(t)
			calls := 0
			s.accept = func([]queue.Record) ([]bool, error) {
				calls++
				return nil, nil
			}
			d := stubDelivery(stubSeveral)
			w, err := serveStub(startedHandler(t, s, func(h *Handler) { h.Fields = tc.fields }), d)
			if err != nil || w.Code != http.StatusOK || !d.Accepted() {
				t.Fatalf("got %d, %v, accepted: %t", w.Code, err, d.Accepted())
			}
			taken := s.taken()
			if !slices.EqualFunc(taken, tc.want, func(r queue.Record, id string) bool { return strings.HasPrefix(r.Identity, id) }) {
				t.Errorf("got %+v, want %v", taken, tc.want)
			}
			if calls != min(len(tc.want), 1) {
				t.Errorf("the store was called %d times", calls)
			}
		})
	}
}

// TestHandlerKeepsUnparsed filters by fields: what could not be taken apart may be
// one of them.
func TestHandlerKeepsUnparsed(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	h := startedHandler(t, s, func(h *Handler) { h.Fields = []string{"comments"} })
	if _, err := serveStub(h, stubDelivery(stubUnparsed)); err != nil {
		t.Fatal(err)
	}
	if taken := s.taken(); len(taken) != 1 || taken[0].Field != event.Unparsed {
		t.Errorf("got %+v", taken)
	}
}

func TestHandlerAdmission(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	h := startedHandler(t, s, func(h *Handler) {
		h.Dedupe = new(caddy.Duration(5))
		h.MaxPending, h.MaxPendingSize = 6, 7
		h.MinFreeSpace = new(int64(8))
	})
	if _, err := serveStub(h, stubDelivery(stubComment)); err != nil {
		t.Fatal(err)
	}
	if want := (queue.Admission{Consumers: []string{"default"}, Dedupe: 5, MaxEvents: 6, MaxBytes: 7, MinFree: 8}); !reflect.DeepEqual(s.admission, want) {
		t.Errorf("got %+v, want %+v", s.admission, want)
	}
}

func TestHandlerIdentities(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	h := startedHandler(t, s)
	for _, tc := range []struct {
		body      string
		recurring bool
	}{
		{stubComment, false},
		{stubMessage, false},
		{stubButton, true},
		{stubUnparsed, true},
		{`{"object":"whatsapp_business_account","entry":[{"id":"178","changes":[{"field":"message_template_status_update","value":{"event":"APPROVED"}}]}]}`, true},
	} {
		var identities []string
		for range 2 {
			d := stubDelivery(tc.body)
			if _, err := serveStub(h, d); err != nil {
				t.Fatal(err)
			}
			r, id := s.taken()[0], d.Events()[0].ID()
			suffix, found := strings.CutPrefix(r.Identity, id)
			if !found || r.NotUnique != tc.recurring || tc.recurring != (len(suffix) > 20 && suffix[0] == '/') {
				t.Errorf("%q: %s became %s, recurring: %t", tc.body, id, r.Identity, r.NotUnique)
			}
			identities = append(identities, r.Identity)
		}
		if same := identities[0] == identities[1]; same == tc.recurring {
			t.Errorf("%q: got the identities %v", tc.body, identities)
		}
	}
}

func TestHandlerOrder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ order, body, want string }{
		{"", stubComment, "178/179"},
		{"conversation", stubComment, "178/179"},
		{"conversation", stubMessage, "178/5"},
		{"conversation", stubButton, ""},
		{"conversation", stubUnparsed, ""},
		{"conversation", `{"object":"user","entry":[{"id":"178","changed_fields":["photos"]}]}`, ""},
		{"conversation", `{"object":"instagram","entry":[{"id":"178","messaging":[{"timestamp":5,"read":{"mid":"m"}}]}]}`, "178/m"},
		{"account", stubComment, "178"},
		{"account", stubMessage, "178"},
		{"account", stubUnparsed, ""},
		{"none", stubComment, ""},
		{"none", stubMessage, ""},
	} {
		t.Run(tc.order+" "+tc.body[:min(len(tc.body), 60)], func(t *testing.T) {
			t.Parallel()
			s := newStubStore(t)
			h := startedHandler(t, s, func(h *Handler) { h.Order = tc.order })
			if _, err := serveStub(h, stubDelivery(tc.body)); err != nil {
				t.Fatal(err)
			}
			if got := s.joined[0].Order.Of(&s.taken()[0]); got != tc.want {
				t.Errorf("got the key %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHandlerURL(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	h := startedHandler(t, s)
	for _, tc := range []struct {
		url string
		tls bool
	}{
		{"http://hooks.example.com/webhooks", false},
		{"https://hooks.example.com/webhooks", true},
		{"https://hooks.example.com:8443/a%2Fb/%C3%A9?x=1&y=%26", true},
		{"http://[::1]:8080/", false},
	} {
		r := httptest.NewRequest(http.MethodPost, tc.url, nil)
		if r.TLS = nil; tc.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if _, err := serveStubTo(h, stubDelivery(stubComment), r); err != nil {
			t.Fatal(err)
		}
		if got := s.taken()[0].URL; got != tc.url {
			t.Errorf("got %s, want %s", got, tc.url)
		}
	}
}

// TestHandlerBodiesStayApart sends large batches at the same time: their bodies share
// buffers, which must not be used again too early.
func TestHandlerBodiesStayApart(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	s.accept = func(records []queue.Record) ([]bool, error) {
		for _, r := range records {
			if r.Signature != stubSigner("a secret").Sign(r.Body) {
				t.Error("the signature is not that of the body")
			}
			if events := event.Split(r.Body); len(events) != 1 || events[0].ID() != r.Identity {
				t.Errorf("the body of %s is %s", r.Identity, r.Body)
			}
		}
		return nil, nil
	}
	h := startedHandler(t, s)
	var wg sync.WaitGroup
	for sender := range 4 {
		generator := sample.New(uint64(sender))
		wg.Go(func() {
			for _, n := range []int{1, 300, 20, 1} {
				body := generator.Delivery(sample.Compact, n, "messages", "message_reactions")
				if _, err := serveStub(h, stubDelivery(string(body))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(s.taken()); got != 4*322 {
		t.Errorf("got %d events, want %d", got, 4*322)
	}
}
