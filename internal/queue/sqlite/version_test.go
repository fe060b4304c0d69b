package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestVersions opens a queue of each version of the layout that there was, and goes on
// with it. Whoever changes schema.sql adds a migration and a file to testdata; that of a
// version is not changed any more.
func TestVersions(t *testing.T) {
	t.Parallel()
	for version := 1; version <= layoutVersion; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(fmt.Sprintf("testdata/version%d.sql", version))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "queue.db")
			db, err := connect(path, create, readerCache)
			if err == nil {
				err = errors.Join(db.script(string(script)), db.close())
			}
			if err != nil {
				t.Fatal(err)
			}
			s := openStore(t, path)
			check(t, s)
			if got, want := layoutOf(t, s), layoutOf(t, newStore(t)); !slices.Equal(got, want) {
				t.Errorf("the layout is\n%q, want\n%q", got, want)
			}
			stats, err := s.Stats(ctx)
			if err != nil || len(stats) != 3 || queue.StatsOf(stats, "crm").Pending != 4 || !queue.StatsOf(stats, "bot").Paused {
				t.Fatalf("stats %+v, %v", stats, err)
			}
			if err := s.Pause(ctx, "bot", false); err != nil {
				t.Fatal(err)
			}
			for consumer, pending := range map[string]int{"crm": 4, "bot": 2} {
				for pending > 0 {
					events, _, err := s.Lease(ctx, consumer, 10)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range events {
						settle(t, s, e, queue.Outcome{State: queue.Delivered})
						pending--
					}
				}
			}
			check(t, s)
		})
	}
}

var comment = regexp.MustCompile(`\s*--.*|\s+`)

// layoutOf returns the tables, indexes and views of a store without comments, but for those
// that are made as time goes by.
func layoutOf(t *testing.T, s *Store) (all []string) {
	t.Helper()
	if err := s.db.each(func(row *sqlite3.Stmt) bool {
		all = append(all, comment.ReplaceAllString(row.ColumnText(0), " "))
		return true
	}, `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'identity_[0-9]*' ORDER BY name`); err != nil {
		t.Fatal(err)
	}
	return all
}
