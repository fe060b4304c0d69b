package queue

import (
	"slices"
	"testing"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	gateway := func(name string, settings map[string]string, consumers ...string) Gateway {
		g := Gateway{Name: name, Settings: settings}
		for _, c := range consumers {
			g.Recipients = append(g.Recipients, Recipient{Name: c})
		}
		return g
	}
	for name, tc := range map[string]struct {
		all  []Gateway
		want []string
	}{
		"none": {},
		"one":  {all: []Gateway{gateway("a", map[string]string{"dedupe": "48h"}, "crm")}},
		"the same": {all: []Gateway{
			gateway("a", map[string]string{"dedupe": "48h"}, "crm"),
			gateway("b", map[string]string{"dedupe": "48h"}, "crm"),
		}},
		"different": {
			all: []Gateway{
				gateway("a", map[string]string{"dedupe": "48h", "order of crm": "account"}, "crm", "bot"),
				gateway("b", map[string]string{"dedupe": "24h", "order of crm": "account"}, "bot", "crm"),
				gateway("c", map[string]string{"dedupe": "48h", "order of bot": "none"}, "bot"),
			},
			want: []string{"the consumer crm is on a, b only", "dedupe is 24h on b; 48h on a, c"},
		},
	} {
		if got := Differences(tc.all); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
