package queue

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// several gives a handler consumers with these names, and a route for each.
func several(names ...string) func(*Handler) {
	return func(h *Handler) {
		h.Routes = nil
		for _, name := range names {
			h.Consumers = append(h.Consumers, Named{Name: name, Consumer: Consumer{Routes: stubRoutes(`{"handler":"static_response"}`)}})
		}
	}
}

func TestConsumersInherit(t *testing.T) {
	t.Parallel()
	h := newStubConfig(t).mustHandler(t, newStubStore(t), func(h *Handler) {
		several("all", "some", "none")(h)
		h.Fields = []string{"messages"}
		h.Order = "account"
		h.Retry = Retry{First: caddy.Duration(time.Minute), For: caddy.Duration(time.Hour)}
		h.Timeout = caddy.Duration(time.Second)
		h.Concurrency = 5
		h.Rate = 7
		h.DeadStatus = []int{422}
		h.Keep.Answers = new(false)
		routes := h.Consumers[0].Routes
		h.Consumers[0] = Named{Name: "all", From: "kept", Consumer: Consumer{
			Fields:      []string{"comments"},
			Order:       "none",
			Retry:       Retry{First: 1, Max: 2, For: 3},
			Timeout:     4,
			Concurrency: 6,
			Rate:        0.5,
			DeadStatus:  []int{410, 404},
			Routes:      routes,
		}}
		h.Consumers[1].Retry.Max = caddy.Duration(2 * time.Minute)
	})
	inherited := queue.Policy{
		First: time.Minute, Max: 10 * time.Minute, For: time.Hour, Timeout: time.Second, Concurrency: 5, Rate: 7, DeadStatus: []int{422},
	}
	some, none := inherited, inherited
	some.Consumer, some.Max, none.Consumer = "some", 2*time.Minute, "none"
	for i, want := range []struct {
		policy queue.Policy
		joined queue.Consumer
	}{
		{
			queue.Policy{Consumer: "all", First: 1, Max: 2, For: 3, Timeout: 4, Concurrency: 6, Rate: 0.5, DeadStatus: []int{410, 404}},
			queue.Consumer{Name: "all", Order: queue.Unordered, FromKept: true, Fields: []string{"comments", event.Unparsed}},
		},
		{some, queue.Consumer{Name: "some", Order: queue.ByAccount}},
		{none, queue.Consumer{Name: "none", Order: queue.ByAccount}},
	} {
		if got := h.Consumers[i].policy(*h.Keep.Answers); !reflect.DeepEqual(got, want.policy) {
			t.Errorf("got the policy %+v, want %+v", got, want.policy)
		}
		if got := h.Consumers[i].joined(); !reflect.DeepEqual(got, want.joined) {
			t.Errorf("%+v joins, want %+v", got, want.joined)
		}
	}
	if got := h.Consumers[1].Fields; !reflect.DeepEqual(got, []string{"messages"}) {
		t.Errorf("the fields %q are inherited", got)
	}
}

func TestConsumersThatMakeNoSense(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 33 {
		many = append(many, fmt.Sprint("c", i))
	}
	with := func(adjust func(*Named)) func(*Handler) {
		return func(h *Handler) {
			several("bot", "crm")(h)
			adjust(&h.Consumers[1])
		}
	}
	for _, tc := range []struct {
		name   string
		adjust func(*Handler)
		want   string
	}{
		{"too many", several(many...), "there are more than 32 consumers"},
		{"twice", several("crm", "bot", "crm"), "the consumer crm is given twice"},
		{"no name", several(""), `begins with a letter or a digit: "" is not`},
		{"capitals", several("CRM"), `"CRM" is not`},
		{"begins with a dash", several("-x"), `"-x" is not`},
		{"space", several("a b"), `"a b" is not`},
		{"line", several("a\n"), `"a\n" is not`},
		{"long", several(strings.Repeat("a", 64)), "is up to 63 of"},
		{"routes beside", func(h *Handler) { routes := h.Routes; several("crm")(h); h.Routes = routes }, "put the routes into a consumer"},
		{"no routes", with(func(c *Named) { c.Routes = nil }), "consumer crm: instagram_queue needs a handler"},
		{"bad route", with(func(c *Named) { c.Routes = stubRoutes(`{"handler":"nonesuch"}`) }), "consumer crm: routes: "},
		{"from", with(func(c *Named) { c.From = "now" }), `consumer crm: from "now" is unknown: there is only from kept`},
		{"from kept with a matcher", with(func(c *Named) { c.From = "kept"; matching(`{"path":["/"]}`)(c) }), "consumer crm: from kept cannot be used with a matcher"},
		{"bad matcher", with(matching(`{"nonesuch":{}}`)), "consumer crm: match: "},
		{"order", with(func(c *Named) { c.Order = "random" }), `consumer crm: order "random" is none of`},
		{"timeout", with(func(c *Named) { c.Timeout = -1 }), "consumer crm: timeout must not be negative"},
		{"negative rate", with(func(c *Named) { c.Rate = -1 }), "consumer crm: rate is in attempts a second and must be at least one a day: -1"},
		{"rare", with(func(c *Named) { c.Rate = 1e-5 }), "rate is in attempts a second and must be at least one a day: 1e-05"},
		{"dead", with(func(c *Named) { c.DeadStatus = []int{200} }), "consumer crm: dead status 200 is none"},
		{"field", with(func(c *Named) { c.Fields = []string{""} }), "consumer crm: the name of a field is empty"},
		{"first longer than the max of the queue", func(h *Handler) {
			with(func(c *Named) { c.Retry.First = 3e9 })(h)
			h.Retry.Max = 2e9
		}, "consumer crm: retry first (3s) must not be longer than retry max (2s)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := newStubConfig(t).handler(newStubStore(t), tc.adjust)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
	if _, err := newStubConfig(t).handler(newStubStore(t), several(append(many[:31], strings.Repeat("0", 63))...)); err != nil {
		t.Errorf("32 consumers are refused: %v", err)
	}
}

// TestJSONOfOneConsumer reads a config as it was before there were several.
func TestJSONOfOneConsumer(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	config := fmt.Sprintf(`{"store":%s,"fields":["comments"],"order":"account","retry":{"first":"2s"},"timeout":"3s","concurrency":4,
		"dead_status":[409],"keep":{"dead":"1h"},"routes":[{"handle":[{"handler":"static_response"}]}]}`, s.module())
	module, err := newStubConfig(t).LoadModuleByID("http.handlers.instagram_queue", json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	c := module.(*Handler).Consumers
	if len(c) != 1 || c[0].Name != "default" || c[0].Order != "account" || c[0].Retry.First != 2e9 || c[0].Timeout != 3e9 ||
		c[0].Concurrency != 4 || len(c[0].Fields) != 1 || len(c[0].DeadStatus) != 1 || len(c[0].Routes) != 1 {
		t.Errorf("got the consumers %+v", c)
	}
}
