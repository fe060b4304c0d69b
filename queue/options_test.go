package queue

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

func TestOptionDefaults(t *testing.T) {
	t.Parallel()
	h := newStubConfig(t).mustHandler(t, newStubStore(t))
	want := queue.Policy{
		Consumer: queue.DefaultConsumer,
		First:    time.Second, Max: 10 * time.Minute, For: 36 * time.Hour,
		Timeout: 30 * time.Second, Concurrency: 32,
		KeepAnswers: true,
	}
	if got := h.Consumers[0].policy(*h.Keep.Answers); !reflect.DeepEqual(got, want) {
		t.Errorf("got the policy %+v, want %+v", got, want)
	}
	if got, want := h.retention(), (queue.Retention{Delivered: 24 * time.Hour, Dead: 720 * time.Hour, Dedupe: 48 * time.Hour}); got != want {
		t.Errorf("got the retention %+v, want %+v", got, want)
	}
	if h.Order != "conversation" || h.MaxPending != 0 || h.MaxPendingSize != 0 || h.Fields != nil {
		t.Errorf("got the options %+v", h)
	}
	bare := new(Handler)
	bare.setDefaults()
	if got := string(bare.StoreRaw); got != `{"module":"sqlite"}` {
		t.Errorf("got the store %s", got)
	}
}

func TestOptionsBecomePolicy(t *testing.T) {
	t.Parallel()
	h := newStubConfig(t).mustHandler(t, newStubStore(t), func(h *Handler) {
		h.Retry = Retry{First: caddy.Duration(time.Minute), Max: caddy.Duration(time.Hour), For: caddy.Duration(2 * time.Hour)}
		h.Timeout = caddy.Duration(time.Second)
		h.Concurrency = 5
		h.DeadStatus = []int{400, 422}
		h.Dedupe = new(caddy.Duration)
		h.Keep.Delivered = new(caddy.Duration)
		h.Keep.Dead = new(caddy.Duration(time.Hour))
	})
	want := queue.Policy{
		Consumer: queue.DefaultConsumer,
		First:    time.Minute, Max: time.Hour, For: 2 * time.Hour,
		Timeout: time.Second, Concurrency: 5, DeadStatus: []int{400, 422},
		KeepAnswers: true,
	}
	if got := h.Consumers[0].policy(*h.Keep.Answers); !reflect.DeepEqual(got, want) {
		t.Errorf("got the policy %+v, want %+v", got, want)
	}
	if got, want := h.retention(), (queue.Retention{Dead: time.Hour}); got != want {
		t.Errorf("got the retention %+v, want %+v", got, want)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	negative := new(caddy.Duration(-1))
	for _, tc := range []struct {
		name   string
		adjust func(*Handler)
		want   string
	}{
		{"no routes", func(h *Handler) { h.Routes = nil }, "instagram_queue needs a handler"},
		{"bad route", func(h *Handler) { h.Routes[0].HandlersRaw[0] = json.RawMessage(`{"handler":"nonesuch"}`) }, "routes: "},
		{"no module", func(h *Handler) { h.StoreRaw = json.RawMessage(`{}`) }, "store: "},
		{"unknown module", func(h *Handler) { h.StoreRaw = json.RawMessage(`{"module":"nonesuch"}`) }, "store: "},
		{"unknown option of the store", func(h *Handler) { h.StoreRaw = json.RawMessage(`{"module":"stub","nonesuch":1}`) }, "nonesuch"},
		{"empty field", func(h *Handler) { h.Fields = []string{"comments", ""} }, "the name of a field is empty"},
		{"unknown order", func(h *Handler) { h.Order = "random" }, `order "random" is none of`},
		{"negative dedupe", func(h *Handler) { h.Dedupe = negative }, "dedupe must not be negative"},
		{"negative delivered", func(h *Handler) { h.Keep.Delivered = negative }, "keep delivered must not be negative"},
		{"negative dead", func(h *Handler) { h.Keep.Dead = negative }, "keep dead must not be negative"},
		{"negative first", func(h *Handler) { h.Retry.First = -1 }, "retry first must not be negative"},
		{"negative max", func(h *Handler) { h.Retry.Max = -1 }, "retry max must not be negative"},
		{"negative for", func(h *Handler) { h.Retry.For = -1 }, "retry for must not be negative"},
		{"negative timeout", func(h *Handler) { h.Timeout = -1 }, "timeout must not be negative"},
		{"first longer than max", func(h *Handler) { h.Retry.First, h.Retry.Max = 2e9, 1e9 }, "retry first (2s) must not be longer than retry max (1s)"},
		{"first longer than the default of max", func(h *Handler) { h.Retry.First = caddy.Duration(time.Hour) }, "retry first (1h0m0s) must not be longer than retry max (10m0s)"},
		{"negative concurrency", func(h *Handler) { h.Concurrency = -1 }, "concurrency must be 1 to 4096: -1"},
		{"huge concurrency", func(h *Handler) { h.Concurrency = 4097 }, "concurrency must be 1 to 4096: 4097"},
		{"negative events", func(h *Handler) { h.MaxPending = -1 }, "max_pending must not be negative"},
		{"negative size", func(h *Handler) { h.MaxPendingSize = -1 }, "max_pending must not be negative"},
		{"dead by success", func(h *Handler) { h.DeadStatus = []int{422, 204} }, "dead status 204 is none of a failed attempt"},
		{"no status", func(h *Handler) { h.DeadStatus = []int{600} }, "dead status 600 is none of a failed attempt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := newStubConfig(t).handler(newStubStore(t), tc.adjust)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

// grouped gives a handler two routes that exclude each other, as handle blocks
// become.
func grouped(first, second string) func(*Handler) {
	return func(h *Handler) {
		respond := []json.RawMessage{[]byte(`{"handler":"static_response","body":"\"group\":\"group1\""}`)}
		h.Routes = caddyhttp.RouteList{
			{Group: first, HandlersRaw: respond},
			{Group: first, HandlersRaw: respond},
			{Group: second, HandlersRaw: respond},
		}
	}
}

// withVariables gives a handler a route that sets variables, an object of JSON.
func withVariables(object string) func(*Handler) {
	return func(h *Handler) {
		h.Routes = caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{[]byte(`{"handler":"vars",` + object[1:])}}}
	}
}

func TestSettingsOfTwoHandlers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		first, second func(*Handler)
		same          bool
	}{
		{"same", func(*Handler) {}, func(*Handler) {}, true},
		{"order", func(*Handler) {}, func(h *Handler) { h.Order = "none" }, false},
		{"dedupe", func(*Handler) {}, func(h *Handler) { h.Dedupe = new(caddy.Duration) }, false},
		{"routes", func(*Handler) {}, grouped("", ""), false},
		{"groups with other numbers", grouped("group2", "group5"), grouped("group9", "group11"), true},
		{"groups made one", grouped("group2", "group5"), grouped("group9", "group9"), false},
		{"no group", grouped("group2", "group5"), grouped("group2", ""), false},
		{"groups whose numbers are in another order", grouped("group2", "group5"), grouped("group7", "group3"), true},
		{"members in another order", withVariables(`{"a":"1","b":"2"}`), withVariables(`{ "b": "2", "a": "1" }`), true},
		{"a name that ends like a group", withVariables(`{"a,\"group":"group1"}`), withVariables(`{"a,\"group":"group2"}`), false},
		{"text like a group", withVariables(`{"a":"{\"group\":\"group1\"}"}`), withVariables(`{"a":"{\"group\":\"group2\"}"}`), false},
		{"groups that somebody named", grouped("a", "b"), grouped("c", "d"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newStubStore(t)
			c := newStubConfig(t)
			first := c.mustHandler(t, s, tc.first)
			second, err := c.handler(s, tc.second)
			if tc.same {
				if err != nil || first.queue != second.queue || len(c.app(t).Services()) != 1 {
					t.Errorf("the handlers do not share a queue: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "different settings") || !strings.Contains(err.Error(), s.key) {
				t.Errorf("got %v, want an error that names the store", err)
			}
		})
	}
}
