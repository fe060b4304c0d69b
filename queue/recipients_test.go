package queue

import (
	"reflect"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
)

// running returns queues whose consumers want these fields.
func running(configs ...[]Named) (all []*runner) {
	for _, consumers := range configs {
		all = append(all, &runner{handler: &Handler{Consumers: consumers}})
	}
	return all
}

func wants(name string, fields ...string) Named {
	return Named{Name: name, Consumer: Consumer{Fields: fields}}
}

// ifMatching returns a consumer with a matcher.
func ifMatching(n Named) Named {
	n.matchers = caddyhttp.MatcherSets{{}}
	return n
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	crm, bot, all := wants("crm", "messages"), wants("bot", "comments", "mentions"), wants("all")
	for name, tc := range map[string]struct {
		running    []*runner
		names      []string
		of         map[string]uint64
		ifMatching map[string]uint64
	}{
		"one": {running([]Named{all}), []string{"all"}, map[string]uint64{"messages": 1, "of_tomorrow": 1, event.Unparsed: 1}, nil},
		"several": {
			running([]Named{crm, bot, all}),
			[]string{"crm", "bot", "all"},
			map[string]uint64{"messages": 0b101, "mentions": 0b110, "of_tomorrow": 0b100, event.Unparsed: 0b111},
			nil,
		},
		"nobody": {running([]Named{crm}), []string{"crm"}, map[string]uint64{"comments": 0, event.Unparsed: 1}, nil},
		"old and new config": {
			running([]Named{bot, crm}, []Named{crm, all}),
			[]string{"bot", "crm", "all"},
			map[string]uint64{"messages": 0b110, "comments": 0b101},
			nil,
		},
		"fields that change": {
			running([]Named{crm}, []Named{wants("crm", "comments")}),
			[]string{"crm"},
			map[string]uint64{"messages": 1, "comments": 1, "mentions": 0},
			nil,
		},
		"some with a matcher": {
			running([]Named{crm, ifMatching(bot), ifMatching(all)}),
			[]string{"crm", "bot", "all"},
			map[string]uint64{"messages": 0b001, "comments": 0, event.Unparsed: 0b001},
			map[string]uint64{"messages": 0b100, "comments": 0b110, event.Unparsed: 0b110},
		},
		"a matcher in the new one": {
			running([]Named{crm}, []Named{ifMatching(all), ifMatching(wants("crm", "comments"))}),
			[]string{"crm", "all"},
			map[string]uint64{"messages": 0b01, "comments": 0, "mentions": 0, event.Unparsed: 0b01},
			map[string]uint64{"messages": 0b10, "comments": 0b11, "mentions": 0b10, event.Unparsed: 0b10},
		},
		"all fields in the new one": {running([]Named{crm}, []Named{wants("crm")}), []string{"crm"}, map[string]uint64{"mentions": 1}, nil},
		"all fields in the old one": {running([]Named{wants("crm")}, []Named{crm}), []string{"crm"}, map[string]uint64{"mentions": 1}, nil},
	} {
		r := recipientsOf(tc.running)
		if !reflect.DeepEqual(r.names, tc.names) {
			t.Errorf("%s: got %q, want %q", name, r.names, tc.names)
		}
		for field, want := range tc.of {
			if got, ifMatching := r.of(field); got != want || ifMatching != tc.ifMatching[field] {
				t.Errorf("%s: %s is for %b, and if it matches for %b, want %b and %b", name, field, got, ifMatching, want, tc.ifMatching[field])
			}
		}
	}
	if !reflect.DeepEqual(crm.Fields, []string{"messages"}) {
		t.Errorf("the fields of a config have become %q", crm.Fields)
	}
}

func TestRecipientsNeedNoMemory(t *testing.T) {
	r := recipientsOf(running([]Named{wants("crm", "messages"), wants("bot", "comments", "mentions"), wants("all")}))
	if n := testing.AllocsPerRun(100, func() { r.of("mentions") }); n != 0 {
		t.Errorf("%v allocations for an event", n)
	}
}
