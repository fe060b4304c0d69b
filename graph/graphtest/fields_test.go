package graphtest

import (
	"slices"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// The table of fields and the names that Meta takes are written down apart from
// each other.
func TestFieldsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	var table []string
	for _, f := range event.Fields() {
		if !f.Refused {
			table = append(table, f.Name)
		}
	}
	slices.Sort(table)
	if want := slices.Sorted(slices.Values(instagramFields)); !slices.Equal(table, want) {
		t.Errorf("the table has\n%q, Meta takes\n%q", table, want)
	}
}
