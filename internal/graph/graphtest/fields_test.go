package graphtest

import (
	"slices"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// The table of fields and the names that Meta takes are written down apart from
// each other.
func TestFieldsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	for login, taken := range map[graph.Login][]string{
		graph.InstagramLogin: instagramFields,
		graph.FacebookLogin:  pageFields,
		graph.UnifiedLogin:   unifiedFields,
	} {
		table := slices.Sorted(slices.Values(login.Fields()))
		if want := slices.Sorted(slices.Values(taken)); !slices.Equal(table, want) {
			t.Errorf("%s: the table has\n%q, Meta takes\n%q", login, table, want)
		}
	}
}
