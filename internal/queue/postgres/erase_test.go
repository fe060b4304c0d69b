package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestErasedIsInNoSample erases a person of whom the database has taken samples for its planner.
func TestErasedIsInNoSample(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	s := openShared(t, o)
	for _, person := range []string{"1777", "1888"} {
		r := record("m."+person, "178414/"+person)
		r.Body = []byte(`{"sender":{"id":"` + person + `"}}`)
		accept(t, s, r)
	}
	if err := server.Execute("ANALYZE " + pgx.Identifier{o.Schema, "event"}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	samples := func() string {
		t.Helper()
		text, err := pgtest.Query[string](server, `SELECT string_agg(concat_ws(' ', attname, most_common_vals, histogram_bounds), E'\n')
			FROM pg_stats WHERE tablename = 'event' AND schemaname = '`+o.Schema+`'`)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got := samples(); !strings.Contains(got, "178414/1777") {
		t.Fatalf("the person is in no sample from the beginning:\n%s", got)
	}
	n, err := s.Erase(t.Context(), queue.Erasure{Subject: queue.Subject{User: "1777"}, At: time.Now()})
	if n != 1 || err != nil {
		t.Fatalf("erased %d: %v", n, err)
	}
	if got := samples(); strings.Contains(got, "178414/1777") {
		t.Errorf("a sample has who was erased:\n%s", got)
	}
}
